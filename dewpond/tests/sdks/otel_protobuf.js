// Logs of OpenTelemetry in Protocol Buffers.

import { OTLPLogExporter } from "@opentelemetry/exporter-logs-otlp-proto";

import { sendLogs } from "./otel.js";

/** Sends `count` events; see `send.js` for the shape of what it takes and returns. */
export const send = (options) => sendLogs(OTLPLogExporter, options);
