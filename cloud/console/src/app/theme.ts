import { createTheme, type MantineColorsTuple } from "@mantine/core";

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

export const theme = createTheme({
  primaryColor: "leaf",
  primaryShade: { light: 7, dark: 5 },
  autoContrast: true,
  colors: { leaf },
  defaultRadius: "md",
  fontFamily: 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif',
  fontFamilyMonospace: 'ui-monospace, SFMono-Regular, Menlo, Consolas, "Liberation Mono", monospace',
  headings: { fontWeight: "650" },
  cursorType: "pointer",
});
