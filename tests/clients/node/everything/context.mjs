// The prompts and resources, by the names that the conformance suite asks for, and what completes their arguments.
import { acceptedContent, fromJsonSchema, inputRequired, ResourceTemplate } from "@modelcontextprotocol/server";
import { form, image, shared } from "./samples.mjs";

const said = (...contents) => ({ messages: contents.map((content) => ({ role: "user", content })) });
const words = (text) => ({ type: "text", text });
const required = (...names) => ({
  type: "object",
  properties: Object.fromEntries(names.map((name) => [name, { type: "string", description: `Argument ${name}` }])),
  required: names,
});

const texts = {
  test_simple_prompt: () => said(words("This is a simple prompt for testing.")),
  test_prompt_with_image: () => said(image, words("Please analyze the image above.")),
  test_prompt_with_arguments: ({ arg1, arg2 }) => said(words(`Prompt with arguments: arg1='${arg1}', arg2='${arg2}'`)),
  test_prompt_with_embedded_resource: ({ resourceUri: uri }) =>
    said(
      { type: "resource", resource: { uri, mimeType: "text/plain", text: "Embedded resource content for testing." } },
      words("Please process the embedded resource above."),
    ),
  test_input_required_result_prompt: (_args, ctx) => {
    const context = acceptedContent(ctx.mcpReq.inputResponses, "user_context")?.context;
    if (typeof context === "string") return said(words(`In the context of ${context}`));
    const user_context = inputRequired.elicit(form("What context should the prompt use?", "context"));
    return inputRequired({ inputRequests: { user_context } });
  },
};

export function prompts(server) {
  for (const [name, args] of Object.entries(shared.prompts)) {
    const description = `Conformance: ${name}`;
    // Without arguments the context is the only argument.
    if (args.length === 0) server.registerPrompt(name, { description }, async (ctx) => texts[name]({}, ctx));
    else server.registerPrompt(name, { description, argsSchema: fromJsonSchema(required(...args)) }, async (args, ctx) => texts[name](args, ctx));
  }
}

export function resources(server) {
  for (const [name, content] of Object.entries(shared.resources)) {
    const uri = `test://${name}`;
    const described = { title: name, description: `Conformance: ${name}`, mimeType: content.mimeType };
    server.registerResource(name, uri, described, async () => ({ contents: [{ uri, ...content }] }));
  }
  const template = new ResourceTemplate("test://template/{id}/data", { list: undefined });
  const described = { description: "Conformance: a template", mimeType: "application/json" };
  server.registerResource("template", template, described, async (uri, { id }) => {
    const text = JSON.stringify({ id, templateTest: true, data: `Data for ID: ${id}` });
    return { contents: [{ uri: uri.href, mimeType: "application/json", text }] };
  });
  // Nothing of these changes: there is nothing to tell who subscribes.
  server.server.setRequestHandler("resources/subscribe", async () => ({}));
  server.server.setRequestHandler("resources/unsubscribe", async () => ({}));
}

/** Completes by what an argument begins with. */
export function completions(server) {
  server.server.setRequestHandler("completion/complete", async ({ params: { argument } }) => {
    const values = (shared.completions[argument.name] ?? []).filter((value) => value.startsWith(argument.value));
    return { completion: { values, total: values.length, hasMore: false } };
  });
}
