// OpenTelemetry's SDK for Node, with an exporter of logs. The key goes into a header. Records have a time and no id.

import { SeverityNumber } from "@opentelemetry/api-logs";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { BatchLogRecordProcessor, LoggerProvider } from "@opentelemetry/sdk-logs";

const RECORDS = [
  (n, user) => ({
    record: {
      eventName: "Order Completed",
      attributes: { "user.id": user, n, revenue: n + 0.5, currency: "EUR", items: ["a", "b"] },
    },
    sent: { kind: "custom", event: "Order Completed", user, revenue: n + 0.5, currency: "EUR" },
  }),
  (n, user, domain) => ({
    record: {
      body: { text: "Grüezi 👋", n },
      severityNumber: SeverityNumber.WARN,
      severityText: "WARN",
      attributes: { "user.id": user, "session.id": `session-${n}`, "url.full": `https://${domain}/cart` },
    },
    sent: { kind: "custom", event: "log", user, path: "/cart" },
  }),
  (n) => ({
    record: { eventName: "Button Clicked", body: `click ${n}`, attributes: { n } },
    sent: { kind: "custom", event: "Button Clicked" },
  }),
];

/**
 * Sends `count` records; see `send.js` for the shape of what it takes and returns.
 *
 * @param Exporter the class of an exporter.
 */
export async function sendLogs(Exporter, { url, key, domain, count }) {
  const exporter = new Exporter({ url: `${url}/v1/logs`, headers: { "X-Api-Key": key }, compression: "gzip" });
  const failures = [];
  let delivered = 0;
  const counting = {
    export: (records, done) =>
      exporter.export(records, (result) => {
        if (result.code === 0) delivered += records.length;
        else failures.push(result.error);
        done(result);
      }),
    forceFlush: () => exporter.forceFlush(),
    shutdown: () => exporter.shutdown(),
  };
  const provider = new LoggerProvider({
    resource: resourceFromAttributes({ "service.name": "shop" }),
    processors: [new BatchLogRecordProcessor({ exporter: counting, maxExportBatchSize: 20 })],
  });
  const logger = provider.getLogger("dewpond-sdks", "1.0.0");
  const sent = [];
  for (let n = 0; n < count; n++) {
    const { record, sent: description } = RECORDS[n % RECORDS.length](n, `user-${n % 5}`, domain);
    logger.emit(record);
    sent.push({ n, user: null, anonymous: null, ...description });
  }
  await provider.shutdown();
  if (delivered !== count) {
    throw new Error(`OpenTelemetry delivered ${delivered} of ${count} records`, { cause: failures[0] });
  }
  return sent;
}
