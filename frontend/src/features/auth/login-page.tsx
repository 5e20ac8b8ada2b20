/** Sign in with a name and a password. */
import {
  Alert,
  Box,
  Button,
  Center,
  Group,
  Image,
  Paper,
  PasswordInput,
  Stack,
  Text,
  TextInput,
  Title,
} from "@mantine/core";
import { useDocumentTitle } from "@mantine/hooks";
import { useQuery } from "@tanstack/react-query";
import { useState, type SyntheticEvent } from "react";
import { Navigate, useSearchParams } from "react-router";
import { ApiError, describeError } from "@/lib/api-error";
import { sessionQuery, useSignIn } from "@/lib/queries/session";

/** Only a path of this site: an address from outside could send the person elsewhere after signing in. */
function safeNext(next: string | null): string {
  return next !== null && /^\/(?![/\\])/.test(next) ? next : "/jobs";
}

export default function LoginPage() {
  useDocumentTitle("Sign in - Coxswain");
  const [search] = useSearchParams();
  const { data: session } = useQuery(sessionQuery); // also brings the CSRF token
  const signIn = useSignIn();
  const [username, setUsername] = useState("");
  const [password, setPassword] = useState("");
  if (session?.authenticated) return <Navigate to={safeNext(search.get("next"))} replace />;

  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    signIn.mutate({ username, password });
  };
  const isWrong = signIn.error instanceof ApiError && [400, 401, 403].includes(signIn.error.status);
  return (
    <Center mih="100vh" p="md">
      <Box w={360} maw="100%">
        <Group gap="sm" mb="lg" justify="center">
          <Image src={`${import.meta.env.BASE_URL}favicon.svg`} w={40} h={40} alt="" />
          <Title order={1} fz={26}>
            Coxswain
          </Title>
        </Group>
        <Paper withBorder p="lg">
          <form onSubmit={submit}>
            <Stack gap="md">
              {signIn.error && (
                <Alert role="alert" color="red" title={isWrong ? "Sign-in refused" : "Sign-in failed"}>
                  {describeError(signIn.error)}
                </Alert>
              )}
              <TextInput
                label="Username"
                name="username"
                autoComplete="username"
                autoFocus
                value={username}
                onChange={(event) => setUsername(event.currentTarget.value)}
              />
              <PasswordInput
                label="Password"
                name="password"
                autoComplete="current-password"
                value={password}
                onChange={(event) => setPassword(event.currentTarget.value)}
              />
              <Button type="submit" loading={signIn.isPending} disabled={!username || !password} fullWidth>
                Sign in
              </Button>
            </Stack>
          </form>
        </Paper>
        <Text c="dimmed" fz="xs" ta="center" mt="md">
          The control plane for distributed LLM training
        </Text>
      </Box>
    </Center>
  );
}
