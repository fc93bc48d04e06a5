// The tools, by the names that the conformance suite calls. Where one needs the client, it is written once for both eras: it
// returns what it asks for, and is called again with the answers.
import { acceptedContent, CLIENT_CAPABILITIES_META_KEY, fromJsonSchema, inputRequired } from "@modelcontextprotocol/server";
import { form, image, pause, question, shared, text } from "./samples.mjs";

const answered = (ctx, key) => ctx.mcpReq.inputResponses?.[key];
const accepted = (ctx, key) => acceptedContent(ctx.mcpReq.inputResponses, key);
const elicit = inputRequired.elicit;
const sample = inputRequired.createMessage;

/** A tool that asks one thing and says what it was told. */
const asks = (key, request, says) => (_args, ctx) =>
  answered(ctx, key) === undefined ? inputRequired({ inputRequests: { [key]: request } }) : says(answered(ctx, key));

const told = (what) => (answer) => text(`${what}: action=${answer.action}, content=${JSON.stringify(answer.content ?? {})}`);

const plain = {
  test_simple_text: () => text("This is a simple text response for testing."),
  test_image_content: () => ({ content: [image] }),
  test_audio_content: () => ({ content: [{ type: "audio", data: shared.silence, mimeType: "audio/wav" }] }),
  test_embedded_resource: () => ({
    content: [
      {
        type: "resource",
        resource: { uri: "test://embedded-resource", mimeType: "text/plain", text: "This is an embedded resource content." },
      },
    ],
  }),
  // Not of the suite: one that is in the list, and one that a template makes.
  test_resource_links: () => ({
    content: [
      { type: "resource_link", uri: "test://static-text", name: "static-text" },
      { type: "resource_link", uri: "test://template/7/data", name: "seventh" },
    ],
  }),
  test_multiple_content_types: () => ({
    content: [
      { type: "text", text: "Multiple content types test:" },
      image,
      {
        type: "resource",
        resource: { uri: "test://mixed-content-resource", mimeType: "application/json", text: JSON.stringify({ test: "data", value: 123 }) },
      },
    ],
  }),
  test_error_handling: () => {
    throw new Error("This tool intentionally returns an error for testing");
  },
};

const onTheWay = {
  test_tool_with_logging: async (_args, ctx) => {
    for (const said of ["Tool execution started", "Tool processing data", "Tool execution completed"]) {
      await ctx.mcpReq.log("info", said, "everything");
      await pause();
    }
    return text("Logged three times.");
  },
  test_logging_tool: async (_args, ctx) => {
    await ctx.mcpReq.log("info", "Heard only by who asked for it", "everything");
    return text("Logged where it was wanted.");
  },
  test_tool_with_progress: async (_args, ctx) => {
    const progressToken = ctx.mcpReq._meta?.progressToken;
    for (const progress of [0, 50, 100]) {
      if (progressToken !== undefined) {
        await ctx.mcpReq.notify({ method: "notifications/progress", params: { progressToken, progress, total: 100, message: `Step ${progress}` } });
      }
      await pause();
    }
    return text("Went all the way.");
  },
};

const asking = {
  test_missing_capability: asks("llm_answer", sample(question("Reply with the single word: pong", 16)), () => text("The client can sample.")),
  test_streaming_elicitation: asks("value", elicit(form("Provide a value", "value")), told("Given")),
  test_elicitation_sep1034_defaults: asks("reviewed", elicit({ message: "Please review the form", requestedSchema: shared.forms.defaults }), told("Elicitation completed")),
  test_elicitation_sep1330_enums: asks("chosen", elicit({ message: "Please choose", requestedSchema: shared.forms.choices }), told("Elicitation completed")),
  // Whatever is no accepted answer with a name is asked for again.
  test_input_required_result_elicitation: (_args, ctx) => {
    const name = accepted(ctx, "user_name")?.name;
    if (typeof name === "string") return text(`Hello, ${name}!`);
    return inputRequired({ inputRequests: { user_name: elicit(form("What is your name?", "name")) } });
  },
  test_input_required_result_sampling: asks("capital_question", sample(question("What is the capital of France?")), (answer) =>
    text(`Sampling response: ${answer.content?.text}`),
  ),
  test_input_required_result_list_roots: asks("client_roots", inputRequired.listRoots(), (answer) =>
    text(`Client roots: ${answer.roots?.map((root) => root.uri).join(", ")}`),
  ),
  test_input_required_result_capabilities: (_args, ctx) => {
    if (ctx.mcpReq.inputResponses !== undefined) return text("Asked for what the client can do.");
    const can = ctx.mcpReq.envelope?.[CLIENT_CAPABILITIES_META_KEY] ?? {};
    const inputRequests = {};
    if (can.elicitation) inputRequests.user_name = elicit(form("What is your name?", "name"));
    if (can.sampling) inputRequests.greeting = sample(question("Generate a greeting", 50));
    if (can.roots) inputRequests.client_roots = inputRequired.listRoots();
    return Object.keys(inputRequests).length > 0 ? inputRequired({ inputRequests }) : text("The client can do nothing of it.");
  },
};

/** Tools whose state travels with the client, sealed. */
const withState = (seal) => {
  const confirms = (name) => async (_args, ctx) => {
    const confirm = elicit(form("Please confirm", "ok", "boolean"));
    const state = ctx.mcpReq.requestState();
    if (state === undefined || accepted(ctx, "confirm") === undefined) {
      return inputRequired({ inputRequests: { confirm }, requestState: await seal.mint({ tool: name }) });
    }
    return text("state-ok: confirmed");
  };
  return {
    test_input_required_result_request_state: confirms("request_state"),
    test_input_required_result_tampered_state: confirms("tampered_state"),
    test_input_required_result_multiple_inputs: async (_args, ctx) => {
      const name = accepted(ctx, "user_name")?.name;
      const greeting = answered(ctx, "greeting")?.content?.text;
      const roots = answered(ctx, "client_roots")?.roots;
      if (name !== undefined && greeting !== undefined && roots !== undefined) {
        return text(`${greeting} ${name}, with ${roots.length} roots`);
      }
      return inputRequired({
        inputRequests: {
          user_name: elicit(form("What is your name?", "name")),
          greeting: sample(question("Generate a greeting", 50)),
          client_roots: inputRequired.listRoots(),
        },
        requestState: await seal.mint({ tool: "multiple_inputs" }),
      });
    },
    test_input_required_result_multi_round: async (_args, ctx) => {
      const state = ctx.mcpReq.requestState() ?? { round: 0 };
      if (state.round === 0) {
        return inputRequired({
          inputRequests: { step1: elicit(form("Step 1: What is your name?", "name")) },
          requestState: await seal.mint({ round: 1 }),
        });
      }
      if (state.round === 1) {
        return inputRequired({
          inputRequests: { step2: elicit(form("Step 2: What is your favorite color?", "color")) },
          requestState: await seal.mint({ round: 2, name: accepted(ctx, "step1")?.name }),
        });
      }
      return text(`${state.name} likes ${accepted(ctx, "step2")?.color}`);
    },
  };
};

const withArguments = {
  test_sampling: ({ prompt }, ctx) =>
    asks("answer", sample(question(prompt)), (answer) => text(`LLM response: ${answer.content?.text}`))({}, ctx),
  test_elicitation: ({ message }, ctx) =>
    asks("person", elicit({ message, requestedSchema: shared.forms.person }), told("User response"))({}, ctx),
  test_custom_header: ({ region }) => text(`region=${region ?? ""}`),
  json_schema_2020_12_tool: (args) => text(JSON.stringify(args)),
};

/** Registers all of them. `changes` tells who listens that a list has changed. */
export function tools(server, seal, changes) {
  const triggers = {
    test_trigger_tool_change: () => {
      changes.tools();
      return text("Told.");
    },
    test_trigger_prompt_change: () => {
      changes.prompts();
      return text("Told.");
    },
  };
  const bare = { ...plain, ...onTheWay, ...asking, ...withState(seal), ...triggers };
  for (const [name, run] of Object.entries(bare)) {
    // Without a schema the context is the only argument.
    server.registerTool(name, { description: `Conformance: ${name}` }, async (ctx) => run({}, ctx));
  }
  for (const [name, run] of Object.entries(withArguments)) {
    const inputSchema = fromJsonSchema(shared.schemas[name]);
    server.registerTool(name, { description: `Conformance: ${name}`, inputSchema }, async (args, ctx) => run(args, ctx));
  }
}
