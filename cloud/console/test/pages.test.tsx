import { MantineProvider } from "@mantine/core";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { render, screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import type { ReactNode } from "react";
import { expect, test } from "vitest";

import { versionQuery } from "../src/api/queries";
import { Actions } from "../src/pages/rollouts/Actions";
import { StageBar } from "../src/pages/rollouts/StageBar";
import { SignIn } from "../src/session/SignIn";
import { type Column, DataTable } from "../src/ui/DataTable";
import { DevelopmentBanner } from "../src/ui/DevelopmentBanner";
import { Prose } from "../src/ui/Prose";
import { rollout } from "./examples";

function show(page: ReactNode, trust: "development" | "production" = "production") {
  const queries = new QueryClient({ defaultOptions: { queries: { retry: false, enabled: false } } });
  queries.setQueryData(versionQuery.queryKey, { version: "0.1.0", protocol: 1, trust });
  return render(
    <MantineProvider>
      <QueryClientProvider client={queries}>{page}</QueryClientProvider>
    </MantineProvider>,
  );
}

test("development keys are said, production keys are not", () => {
  show(<DevelopmentBanner />, "development");
  expect(screen.getByText("Development keys.")).toBeTruthy();
  show(<DevelopmentBanner />, "production");
  expect(screen.getAllByText("Development keys.")).toHaveLength(1);
});

test("an action that is not allowed stays there and does nothing", async () => {
  const reason = "The rollout is running; there is nothing to resume.";
  show(
    <Actions
      rollout={rollout({
        actions: [
          { action: "pause", allowed: true },
          { action: "resume", allowed: false, reason },
          { action: "fly", allowed: true },
        ],
      })}
    />,
  );
  const resume = screen.getByRole("button", { name: "Resume" });
  expect(resume.getAttribute("aria-disabled")).toBe("true");
  expect(screen.getByRole("button", { name: "Pause" }).getAttribute("aria-disabled")).toBe("false");
  expect(screen.queryByText("fly")).toBeNull();
  await userEvent.hover(resume);
  expect(await screen.findByText(reason)).toBeTruthy();
});

test("reverting a fleet asks first", async () => {
  show(<Actions rollout={rollout({ actions: [{ action: "revert", allowed: true }] })} />);
  await userEvent.click(screen.getByRole("button", { name: "Revert" }));
  expect(await screen.findByText(/go back to the slot/)).toBeTruthy();
  expect(screen.getByRole("button", { name: "Leave it" })).toBeTruthy();
});

test("a stage's bar says its numbers in words", () => {
  show(<StageBar name="Stage canary" counts={rollout().counts} />);
  expect(screen.getByRole("img").getAttribute("aria-label")).toBe(
    "Stage canary: 1 active, 1 on the way, 1 failed, 1 waiting",
  );
});

test("a table sorts by a click on its heading and says so", async () => {
  const columns = [{ id: "name", header: "Name", accessorFn: (row: { name: string }) => row.name }];
  show(<DataTable caption="Things" columns={columns} rows={[{ name: "b" }, { name: "a" }]} rowKey={(row) => row.name} />);
  const names = () => screen.getAllByRole("cell").map((cell) => cell.textContent);
  expect(names()).toEqual(["b", "a"]);
  await userEvent.click(screen.getByRole("button", { name: /Name/ }));
  expect(names()).toEqual(["a", "b"]);
  expect(screen.getByRole("columnheader").getAttribute("aria-sort")).toBe("ascending");
});

test("figures sort as numbers, and those that are not there stand last", async () => {
  type Row = { name: string; size: number | undefined };
  const columns: Column<Row>[] = [
    { id: "name", header: "Name", accessorFn: (row) => row.name },
    { id: "size", header: "Size", numeric: true, accessorFn: (row) => row.size },
  ];
  const rows = [
    { name: "none", size: undefined },
    { name: "ten", size: 10 },
    { name: "nine", size: 9 },
  ];
  show(<DataTable caption="Things" columns={columns} rows={rows} rowKey={(row) => row.name} />);
  const names = () => screen.getAllByRole("row").slice(1).map((row) => row.firstChild?.textContent);
  await userEvent.click(screen.getByRole("button", { name: /Size/ }));
  expect(names()).toEqual(["nine", "ten", "none"]);
  await userEvent.click(screen.getByRole("button", { name: /Size/ }));
  expect(names()).toEqual(["ten", "nine", "none"]);
});

test("a table of thousands draws some, and more when asked", async () => {
  const rows = Array.from({ length: 450 }, (_, place) => ({ name: `device-${place}` }));
  const columns = [{ id: "name", header: "Name", accessorFn: (row: { name: string }) => row.name }];
  show(<DataTable caption="Things" columns={columns} rows={rows} rowKey={(row) => row.name} />);
  expect(screen.getAllByRole("cell")).toHaveLength(200);
  await userEvent.click(screen.getByRole("button", { name: /200 of 450/ }));
  expect(screen.getAllByRole("cell")).toHaveLength(400);
});

test("the server's backticks become what a person types, and a lone one stays", () => {
  const { container } = show(<Prose text="use `espalier up`, it`s simple" />);
  expect(container.querySelector("code")?.textContent).toBe("espalier up");
  expect(container.textContent).toContain(", it`s simple");
});

test("an empty token cannot be sent", async () => {
  show(<SignIn />);
  const button = screen.getByRole("button", { name: "Sign in" });
  expect(button.hasAttribute("disabled")).toBe(true);
  await userEvent.type(screen.getByLabelText(/Token/, { selector: "input" }), "abc");
  expect(button.hasAttribute("disabled")).toBe(false);
});
