// The calls that Segment and RudderStack have in common: RudderStack took over Segment's.

const CALLS = [
  (n, user) => ({
    method: "track",
    message: { userId: user, event: "Order Completed", properties: { n, revenue: n + 0.5, currency: "EUR" } },
    sent: { kind: "custom", event: "Order Completed", user, revenue: n + 0.5, currency: "EUR" },
  }),
  (n, _, anonymous, domain) => ({
    method: "page",
    message: {
      anonymousId: anonymous,
      name: "Product",
      properties: { n, url: `https://${domain}/products/${n}`, path: `/products/${n}`, title: "Product" },
    },
    sent: { kind: "page_view", event: "page_view", anonymous, path: `/products/${n}` },
  }),
  (n, _, anonymous, domain) => ({
    method: "track",
    message: {
      anonymousId: anonymous,
      event: "Button Clicked",
      properties: { n, label: "Grüezi 👋" },
      context: { page: { url: `https://${domain}/cart`, path: "/cart", title: "Cart" }, locale: "de-CH" },
    },
    sent: { kind: "custom", event: "Button Clicked", anonymous, path: "/cart" },
  }),
  (n, user, anonymous) => ({
    method: "identify",
    message: { userId: user, anonymousId: anonymous, traits: { n, plan: "pro" } },
    sent: { kind: "identify", event: "identify", user, anonymous },
  }),
  (n, user) => ({
    method: "screen",
    message: { userId: user, name: "Home", properties: { n } },
    sent: { kind: "screen", event: "screen", user },
  }),
  (n, user) => ({
    method: "group",
    message: { userId: user, groupId: "acme", traits: { n } },
    sent: { kind: "group", event: "group", user },
  }),
  (_, user, anonymous) => ({
    method: "alias",
    message: { userId: user, previousId: anonymous },
    sent: { kind: "alias", event: "alias", user },
  }),
];

/**
 * The `n`th call, of the kinds in turn.
 *
 * @returns {{ method: string, message: object, sent: import("./send.js").Sent }}
 *   The SDK's method, its argument, and what to say was sent.
 */
export function call(n, domain) {
  const { method, message, sent } = CALLS[n % CALLS.length](n, `user-${n % 5}`, `anonymous-${n % 5}`, domain);
  return { method, message, sent: { n, user: null, anonymous: null, ...sent } };
}
