import { Alert, Code } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";

import { versionQuery } from "../api/queries";
import { KeyIcon } from "./icons";

/** Says wherever it matters that signatures made here prove little. It cannot be closed. */
export function DevelopmentBanner() {
  const version = useQuery(versionQuery);
  if (version.data?.trust !== "development") return null;
  return (
    <Alert color="orange" variant="light" icon={<KeyIcon />} title="Development keys" mb="md" py="xs">
      The release keys lie beside the server that uses them. Devices refuse what they sign unless they were started with{" "}
      <Code>--development-trust</Code>.
    </Alert>
  );
}
