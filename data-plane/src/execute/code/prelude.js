// What code finds: `api` or `tools`, `params`, `console`; and how it reaches the host. The host's own functions stay in
// this closure: code that replaces built-ins hurts nobody but itself.
(function (host) {
  const { Error, Map, Object, Promise, Proxy, RangeError, String, TypeError } = globalThis;
  const { parse, stringify } = JSON;
  const { apply } = Reflect;
  const { slice, toWellFormed } = String.prototype;
  delete globalThis.Proxy;

  // Calls on their way: how each is answered, by its number.
  const waiting = new Map();

  const start = (tool, name, given) => {
    const [args = {}] = given;
    if (given.length > 1 || typeof args !== "object" || args === null || Array.isArray(args)) {
      throw new TypeError(`${name} takes one object of named arguments, such as ${name}({ id: 1 })`);
    }
    const text = stringify(args);
    if (text.length > host.most) throw new RangeError(`the arguments of ${name} are too long`);
    const call = host.call(tool, text);
    return new Promise((resolve, reject) => waiting.set(call, [resolve, reject]));
  };

  const settle = (call, kind, text) => {
    const [resolve, reject] = waiting.get(call);
    waiting.delete(call);
    if (kind === "text") return resolve(text);
    if (kind === "json") return resolve(parse(text));
    const { message, ...facts } = parse(text);
    reject(Object.assign(new Error(message), facts));
  };

  // An object whose members are found when they are asked for: there may be thousands.
  const directory = (find, names) => {
    const known = new Map();
    const member = (name) => {
      if (!known.has(name)) known.set(name, find(name));
      return known.get(name);
    };
    const has = (name) => typeof name === "string" && names().includes(name);
    return new Proxy({ __proto__: null }, {
      // `then` is asked for by every `await`, `toJSON` by JSON; neither is a tool.
      get: (_, name) => (typeof name === "symbol" || name === "then" || name === "toJSON" ? undefined : member(name)),
      has: (_, name) => has(name),
      ownKeys: names,
      getOwnPropertyDescriptor: (_, name) =>
        has(name) ? { value: member(name), enumerable: true, configurable: true, writable: false } : undefined,
      set: (_, name) => { throw new TypeError(`${String(name)} cannot be set`); },
      defineProperty: () => false,
      deleteProperty: () => false,
      preventExtensions: () => false,
      setPrototypeOf: () => false,
    });
  };

  const tool = (path) => {
    const number = host.find(path[0], path[1]);
    const name = host.spelled(number);
    return (...given) => start(number, name, given);
  };
  const flat = () => directory((name) => tool(["", name]), () => host.names(""));
  const nested = () =>
    directory(
      (space) => {
        host.space(space);
        return directory((name) => tool([space, name]), () => host.names(space));
      },
      () => host.names(""),
    );

  const shown = (value) => {
    if (typeof value === "string") return value;
    if (value instanceof Error) return `${value.name}: ${value.message}`;
    try {
      return stringify(value) ?? String(value);
    } catch {
      return String(value);
    }
  };
  const print = (...values) => {
    let line = "";
    for (const value of values) line += (line && " ") + shown(value);
    host.print(apply(toWellFormed, line.length > host.line ? `${apply(slice, line, [0, host.line])}…` : line, []));
  };
  const console = Object.freeze({ log: print, info: print, warn: print, error: print, debug: print });

  const described = (error) => {
    if (!(error instanceof Error)) return { message: shown(error) };
    const name = String(error.name);
    return {
      message: (name === "Error" ? "" : `${name}: `) + String(error.message),
      stack: String(error.stack ?? ""),
      // Of a call that failed and was not caught.
      code: typeof error.code === "string" ? error.code : undefined,
    };
  };

  // Runs `main` and tells the host how it ended.
  const run = (main, params) => {
    const given = params === undefined ? [nested(), console] : [parse(params), flat(), console];
    const body = async () => {
      let value = await apply(main, undefined, given);
      // Code that is one function is meant to be called.
      if (params === undefined && typeof value === "function") value = await value(given[0]);
      return value === undefined ? "" : stringify(value) ?? "";
    };
    body().then(
      (text) => host.done(true, text),
      (error) => host.done(false, stringify(described(error))),
    );
  };

  return [run, settle];
});
