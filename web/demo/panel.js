// Shows what becomes of the events of this page. A listener of the tracker; no site needs it.
(() => {
  const panel = document.createElement("details");
  panel.id = "events";
  panel.open = innerWidth > 700;
  panel.innerHTML = "<summary>No events yet</summary><ol></ol>";
  document.body.append(panel);
  const [summary, list] = panel.children;
  const items = new Map();
  let acknowledged = 0;

  /** One line under an event: what is particular about it. */
  const about = ({ object, revenue, currency, user_id, properties, url }) =>
    [
      object,
      revenue && `${revenue} ${currency ?? ""}`,
      user_id && `user ${user_id}`,
      Object.keys(properties).length && JSON.stringify(properties),
      url.replace(location.origin, ""),
    ]
      .filter(Boolean)
      .join(" · ");

  const show = (step, event) => {
    if (!items.has(event.event_id)) {
      const item = document.createElement("li");
      const [name, state, more] = ["b", "i", "small"].map((tag) => document.createElement(tag));
      name.textContent = event.name;
      more.textContent = about(event);
      item.append(name, state, more);
      list.prepend(item);
      items.set(event.event_id, state);
    }
    const state = items.get(event.event_id);
    state.className = step;
    state.textContent = step === "kept" ? "kept, will retry" : step;
  };

  window.dewpond = window.dewpond || [];
  window.dewpond.push([
    "onSend",
    (step, events) => {
      events.forEach((event) => show(step, event));
      if (step === "acknowledged") acknowledged += events.length;
      summary.textContent = `${items.size} event${items.size === 1 ? "" : "s"}, ${acknowledged} acknowledged`;
    },
  ]);
})();
