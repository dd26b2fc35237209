import { Alert, Badge, Button, Card, createTheme, type MantineColorsTuple, Tooltip } from "@mantine/core";

/** The green of a trained tree; shade 7 on white and shade 4 on black both pass WCAG AA for text. */
const leaf: MantineColorsTuple = [
  "#eaf7f0",
  "#d5ecdf",
  "#aadabf",
  "#7bc69d",
  "#55b680",
  "#3dac6e",
  "#2f9a5f",
  "#1f7a4c",
  "#17693f",
  "#085831",
];

/** The desktop's own face; on a bare Linux the one that is made to be read, not the widest. */
const FACES =
  '-apple-system, BlinkMacSystemFont, "Segoe UI", Roboto, Inter, Ubuntu, Cantarell, "Noto Sans", "Liberation Sans", "Helvetica Neue", Arial, sans-serif';

export const theme = createTheme({
  primaryColor: "leaf",
  primaryShade: { light: 7, dark: 5 },
  autoContrast: true,
  colors: { leaf },
  defaultRadius: "md",
  fontFamily: FACES,
  fontFamilyMonospace: 'ui-monospace, SFMono-Regular, Menlo, Consolas, "Liberation Mono", monospace',
  headings: { fontFamily: FACES, fontWeight: "650", sizes: { h2: { fontSize: "1.6rem" }, h4: { fontSize: "1.05rem" } } },
  cursorType: "pointer",
  components: {
    // A reason that only a pointer can find is no reason for those who use a keyboard or a finger.
    Tooltip: Tooltip.extend({ defaultProps: { events: { hover: true, focus: true, touch: true }, withArrow: true } }),
    Alert: Alert.extend({ defaultProps: { variant: "light", py: "sm" } }),
    Badge: Badge.extend({ defaultProps: { variant: "light", radius: "sm", tt: "none", miw: "max-content" } }),
    Button: Button.extend({ defaultProps: { size: "sm" } }),
    Card: Card.extend({ defaultProps: { withBorder: true, padding: "md" } }),
  },
});
