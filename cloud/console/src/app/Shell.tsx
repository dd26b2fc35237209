import {
  ActionIcon,
  Anchor,
  AppShell,
  Badge,
  Burger,
  Group,
  NavLink,
  ScrollArea,
  Text,
  Tooltip,
  useComputedColorScheme,
  useMantineColorScheme,
} from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { useQuery } from "@tanstack/react-query";
import { Link, Outlet, useLocation } from "@tanstack/react-router";

import { type Live, useLive } from "../api/live";
import { versionQuery } from "../api/queries";
import { session } from "../session/token";
import { DevelopmentBanner } from "../ui/DevelopmentBanner";
import { Brand } from "../ui/Brand";
import { FleetIcon, ModelsIcon, MoonIcon, RolloutsIcon, SignOutIcon, SunIcon, TryIcon } from "../ui/icons";

const ROOMS = [
  { to: "/fleet", label: "Fleet", icon: FleetIcon },
  { to: "/rollouts", label: "Rollouts", icon: RolloutsIcon },
  { to: "/models", label: "Models and builds", icon: ModelsIcon },
  { to: "/try", label: "Try a picture", icon: TryIcon },
] as const;

/** The frame around every page: rooms, what keys sign here, whether the page is live. */
export function Shell() {
  const [opened, { toggle, close }] = useDisclosure(false);
  const live = useLive();
  return (
    <AppShell
      header={{ height: 56 }}
      navbar={{ width: 232, breakpoint: "sm", collapsed: { mobile: !opened } }}
      padding="lg"
    >
      <a className="skip-link" href="#content">
        Skip to the page
      </a>
      <AppShell.Header>
        <Group h="100%" px="md" justify="space-between" wrap="nowrap">
          <Group gap="sm" wrap="nowrap">
            <Burger opened={opened} onClick={toggle} hiddenFrom="sm" size="sm" aria-label="Open the menu" />
            <Brand />
          </Group>
          <Group gap="xs" wrap="nowrap">
            <LiveBadge live={live} />
            <ColorSchemeToggle />
            <Tooltip label="Sign out">
              <ActionIcon variant="subtle" color="gray" onClick={session.signOut} aria-label="Sign out">
                <SignOutIcon />
              </ActionIcon>
            </Tooltip>
          </Group>
        </Group>
      </AppShell.Header>
      <AppShell.Navbar p="sm">
        <AppShell.Section grow component={ScrollArea}>
          <Rooms onNavigate={close} />
        </AppShell.Section>
        <AppShell.Section>
          <About />
        </AppShell.Section>
      </AppShell.Navbar>
      <AppShell.Main id="content" tabIndex={-1}>
        <DevelopmentBanner />
        <Outlet />
      </AppShell.Main>
    </AppShell>
  );
}

function Rooms({ onNavigate }: { onNavigate: () => void }) {
  const { pathname } = useLocation();
  return (
    <nav aria-label="Rooms">
      {ROOMS.map(({ to, label, icon: Icon }) => (
        <NavLink
          key={to}
          component={Link}
          to={to}
          label={label}
          leftSection={<Icon />}
          active={pathname === to || pathname.startsWith(`${to}/`)}
          onClick={onNavigate}
          variant="light"
          mb={4}
          style={{ borderRadius: "var(--mantine-radius-md)" }}
        />
      ))}
    </nav>
  );
}

function About() {
  const version = useQuery(versionQuery);
  return (
    <Group justify="space-between" px="xs" pt="xs">
      <Text size="xs" c="dimmed">
        {version.data ? `Espalier ${version.data.version}` : "Espalier"}
      </Text>
      <Anchor size="xs" href="/docs/" target="_blank" rel="noreferrer">
        API
      </Anchor>
    </Group>
  );
}

const LIVE_WORDS: Record<Live, { label: string; color: string; meaning: string }> = {
  live: { label: "live", color: "leaf", meaning: "Changes appear as they happen." },
  connecting: { label: "connecting", color: "gray", meaning: "Connecting to the server's events." },
  lost: {
    label: "not live",
    color: "orange",
    meaning: "The server's events are lost. The page reads again from time to time and keeps trying.",
  },
};

function LiveBadge({ live }: { live: Live }) {
  const { label, color, meaning } = LIVE_WORDS[live];
  return (
    <Tooltip label={meaning}>
      <Badge variant="dot" color={color} radius="xl" role="status">
        {label}
      </Badge>
    </Tooltip>
  );
}

function ColorSchemeToggle() {
  const { setColorScheme } = useMantineColorScheme();
  const scheme = useComputedColorScheme("light");
  const other = scheme === "dark" ? "light" : "dark";
  return (
    <Tooltip label={`Switch to ${other}`}>
      <ActionIcon variant="subtle" color="gray" onClick={() => setColorScheme(other)} aria-label={`Switch to ${other}`}>
        {scheme === "dark" ? <SunIcon /> : <MoonIcon />}
      </ActionIcon>
    </Tooltip>
  );
}
