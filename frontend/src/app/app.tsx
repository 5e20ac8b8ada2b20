/** The dashboard: providers around the routes. */
import { MantineProvider } from "@mantine/core";
import { ModalsProvider } from "@mantine/modals";
import { Notifications } from "@mantine/notifications";
import { QueryClientProvider } from "@tanstack/react-query";
import { useState } from "react";
import { createBrowserRouter } from "react-router";
import { RouterProvider } from "react-router/dom";
import { whenSignedOut } from "@/lib/api";
import { createQueryClient } from "@/lib/query-client";
import { sessionQuery } from "@/lib/queries/session";
import { cssVariablesResolver } from "./css-variables";
import { routes } from "./router";
import { theme } from "./theme";

function createState() {
  const client = createQueryClient();
  whenSignedOut(() => void client.invalidateQueries({ queryKey: sessionQuery.queryKey }));
  return { client, router: createBrowserRouter(routes) };
}

export function App() {
  const [{ client, router }] = useState(createState);
  return (
    <MantineProvider theme={theme} cssVariablesResolver={cssVariablesResolver} defaultColorScheme="auto">
      <QueryClientProvider client={client}>
        <ModalsProvider>
          <Notifications position="bottom-right" />
          <RouterProvider router={router} />
        </ModalsProvider>
      </QueryClientProvider>
    </MantineProvider>
  );
}
