// What a client does with a server that has everything, the same steps for both SDKs: it lists, reads, completes, and calls tools
// that report, log and ask. Prints `WALKED` and what came of each step.
import { say } from "../loopback.mjs";

export const capabilities = { elicitation: {}, sampling: {}, roots: {} };
const asked = { name: "Ada", username: "ada", email: "ada@example.org", color: "blue" };

/** How the client answers; the same in both eras. */
export const answers = {
  "elicitation/create": async () => ({ action: "accept", content: asked }),
  "sampling/createMessage": async () => ({ role: "assistant", model: "a-model", content: { type: "text", text: "Paris" } }),
  "roots/list": async () => ({ roots: [{ uri: "file:///notes/ada", name: "home" }] }),
};

const url = process.argv[2];
/** Shows the key that the tests gave. */
export const target = [
  new URL(url),
  { requestInit: process.env.API_KEY ? { headers: { Authorization: `Bearer ${process.env.API_KEY}` } } : {} },
];

/**
 * `logged` is what log messages are pushed to; `levels` says how the client asks for them: by `setLoggingLevel`, or with each call.
 */
export async function walk(client, logged, levels) {
  const text = (result) => result.content.map((part) => part.text).join("");
  const call = (name, args = {}) => client.callTool({ name, arguments: args });
  const found = {};
  found.tools = (await client.listTools()).tools.map((tool) => tool.name);
  found.simple = text(await call("test_simple_text"));
  found.prompts = (await client.listPrompts()).prompts.map((prompt) => prompt.name);
  const prompt = await client.getPrompt({ name: "test_prompt_with_arguments", arguments: { arg1: "a", arg2: "b" } });
  found.prompt = prompt.messages[0].content.text;
  found.resources = (await client.listResources()).resources.map((resource) => resource.uri);
  found.templates = (await client.listResourceTemplates()).resourceTemplates.map((template) => template.uriTemplate);
  found.read = (await client.readResource({ uri: "test://static-text" })).contents[0].text;
  found.made = JSON.parse((await client.readResource({ uri: "test://template/7/data" })).contents[0].text).id;
  const completion = { ref: { type: "ref/prompt", name: "test_prompt_with_arguments" }, argument: { name: "arg1", value: "par" } };
  found.completed = (await client.complete(completion)).completion.values;

  // A server may not have what the later steps call.
  const has = (name) => found.tools.includes(name);
  const progress = [];
  const onprogress = (step) => progress.push(step.progress);
  if (has("test_tool_with_progress")) await levels.progress(client, "test_tool_with_progress", onprogress);
  found.progress = progress;
  if (has("test_tool_with_logging")) await levels.logging(client, "test_tool_with_logging");
  found.logged = logged.map((message) => message.data);

  if (has("test_elicitation")) found.elicited = text(await call("test_elicitation", { message: "Who are you?" }));
  if (has("test_sampling")) found.sampled = text(await call("test_sampling", { prompt: "The capital of France?" }));
  if (has("test_input_required_result_multi_round")) {
    found.several = text(await call("test_input_required_result_multi_round"));
    found.kinds = text(await call("test_input_required_result_multiple_inputs"));
  }
  say("WALKED", found);
  await client.close();
}
