import { describe, expect, test } from "vitest";

import { adoptTokenFromAddress, session, tokenInFragment } from "../src/session/token";

describe("the token in the address", () => {
  test("is found beside other things, and only as a token", () => {
    expect(tokenInFragment("#token=abc-_1")).toBe("abc-_1");
    expect(tokenInFragment("#x=1&token=abc")).toBe("abc");
    expect(tokenInFragment("#token=")).toBeNull();
    expect(tokenInFragment("#section")).toBeNull();
  });

  test("is taken out of the address bar", () => {
    window.history.replaceState(null, "", "/fleet?x=1#token=secret");
    adoptTokenFromAddress(window.location, window.history);
    expect(session.token()).toBe("secret");
    expect(window.location.href).not.toContain("secret");
    expect(window.location.search).toBe("?x=1");
  });

  test("an address without one leaves the session alone", () => {
    session.signIn(" kept ");
    adoptTokenFromAddress(window.location, window.history);
    expect(session.token()).toBe("kept");
  });
});
