import { Box, Button, Card, Center, Code, PasswordInput, Stack, Text } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { useState } from "react";

import { ApiError } from "../api/problem";
import { Brand } from "../ui/Brand";
import { DevelopmentBanner } from "../ui/DevelopmentBanner";
import { Failed } from "../ui/states";
import { session } from "./token";

/** Asks the server whether it takes the token, before anything else is asked with it. */
async function check(token: string): Promise<string> {
  const response = await fetch("/api/v1/devices?limit=1", { headers: { authorization: `Bearer ${token}` } });
  if (!response.ok) throw ApiError.of(response.status, await response.json().catch(() => undefined));
  return token;
}

/** The door: a token, pasted. */
export function SignIn() {
  const [token, setToken] = useState("");
  const signIn = useMutation({ mutationFn: check, onSuccess: session.signIn });
  return (
    <Center mih="100vh" p="md">
      <Box w={440}>
        <DevelopmentBanner />
        <Card withBorder padding="xl" radius="lg">
          <form
            onSubmit={(event) => {
              event.preventDefault();
              signIn.mutate(token.trim());
            }}
          >
            <Stack>
              <Brand size={34} />
              <Text c="dimmed" size="sm">
                Paste the operator's token. <Code>espalier up</Code> prints the file that holds it, and an address that
                signs in by itself. The token is kept in this tab only.
              </Text>
              <PasswordInput
                label="Token"
                value={token}
                onChange={(event) => setToken(event.currentTarget.value)}
                autoComplete="off"
                data-autofocus
                required
              />
              {signIn.isError && <Failed error={signIn.error} />}
              <Button type="submit" loading={signIn.isPending} disabled={token.trim() === ""}>
                Sign in
              </Button>
            </Stack>
          </form>
        </Card>
      </Box>
    </Center>
  );
}
