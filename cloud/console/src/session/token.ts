/**
 * Where the operator's token lives: this tab only. `espalier up` prints an address that ends in
 * `#token=…`; a fragment is never sent to a server, and it is taken out of the address bar at once
 * so that it does not stay in the history or in a screenshot.
 */
const KEY = "espalier.token";

/** The token in a location's fragment, if it carries one. */
export function tokenInFragment(hash: string): string | null {
  const token = new URLSearchParams(hash.replace(/^#/, "")).get("token")?.trim();
  return token ? token : null;
}

/** Moves a token from the address bar into this tab's session. Called once, before anything renders. */
export function adoptTokenFromAddress(location: Location, history: History): void {
  const token = tokenInFragment(location.hash);
  if (token === null) return;
  sessionStorage.setItem(KEY, token);
  history.replaceState(history.state, "", location.pathname + location.search);
}

type Listener = () => void;
const listeners = new Set<Listener>();

function tell() {
  for (const listener of listeners) listener();
}

export const session = {
  token: (): string | null => sessionStorage.getItem(KEY),
  signIn(token: string) {
    sessionStorage.setItem(KEY, token.trim());
    tell();
  },
  signOut() {
    sessionStorage.removeItem(KEY);
    tell();
  },
  /** For `useSyncExternalStore`. */
  subscribe(listener: Listener): () => void {
    listeners.add(listener);
    return () => listeners.delete(listener);
  },
};
