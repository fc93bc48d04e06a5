// What both servers of this kind share, from `tests/fixtures/everything.json`, and how content is written.
import { readFileSync } from "node:fs";

export const shared = JSON.parse(readFileSync(new URL("../../../fixtures/everything.json", import.meta.url), "utf8"));

export const text = (said) => ({ content: [{ type: "text", text: said }] });
export const image = { type: "image", data: shared.pixel, mimeType: "image/png" };
export const pause = () => new Promise((resolve) => setTimeout(resolve, 50));

/** A form with one required field. */
export const form = (message, field, type = "string") => ({
  message,
  requestedSchema: { type: "object", properties: { [field]: { type } }, required: [field] },
});
export const question = (asked, maxTokens = 100) => ({
  messages: [{ role: "user", content: { type: "text", text: asked } }],
  maxTokens,
});
