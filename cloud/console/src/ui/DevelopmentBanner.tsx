import { Code } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";

import { versionQuery } from "../api/queries";
import { KeyIcon } from "./icons";

/** Says wherever it matters that signatures made here prove little. It cannot be closed. */
export function DevelopmentBanner() {
  const version = useQuery(versionQuery);
  if (version.data?.trust !== "development") return null;
  return (
    <div className="trust-banner" role="note">
      <KeyIcon />
      <span>
        <strong>Development keys.</strong> They lie beside the server that uses them. Devices refuse what they sign
        unless they were started with <Code>--development-trust</Code>.
      </span>
    </div>
  );
}
