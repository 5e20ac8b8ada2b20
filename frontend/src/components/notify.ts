/** Short messages in the corner. */
import { notifications } from "@mantine/notifications";
import { describeError } from "@/lib/api-error";

export function notifyError(error: unknown): void {
  notifications.show({ color: "red", title: "That did not work", message: describeError(error), autoClose: 10_000 });
}

export function notifyDone(message: string): void {
  notifications.show({ message, autoClose: 4_000 });
}
