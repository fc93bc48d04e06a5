// Built-ins that loop in C without asking whether time is up. They take lengths that a hostile object makes up, or compare
// long texts over and over; here they work on real arrays of a sane length and within a budget for searching.
// Evaluated before anything of the run; keeps the originals to itself.
(function () {
  const MOST_ITEMS = 2_000_000;
  // Characters compared by all searches of a run.
  const MOST_WORK = 500_000_000;
  const { isArray } = Array;
  const { RegExp, RangeError, TypeError, Object, String, Symbol } = globalThis;
  const apply = Reflect.apply;

  const replace = (prototype, name, value) =>
    Object.defineProperty(prototype, name, { value, writable: true, configurable: true, enumerable: false });

  const real = (list, name) => {
    if (!isArray(list)) throw new TypeError(`Array.prototype.${name} works on arrays only; make one with Array.from`);
    if (list.length > MOST_ITEMS) throw new RangeError(`the array is too long for ${name}`);
    return list;
  };

  const ofArrays = ["copyWithin", "fill", "join", "reverse", "shift", "splice", "toLocaleString", "toReversed",
    "toSpliced", "toString", "unshift", "with"];
  for (const name of ofArrays) {
    const original = Array.prototype[name];
    if (original) replace(Array.prototype, name, { [name](...given) { return apply(original, real(this, name), given); } }[name]);
  }

  // `arguments` and other lists that are no arrays are often sliced.
  const { slice, concat, sort, map } = Array.prototype;
  replace(Array.prototype, "slice", { slice(...given) {
    return apply(slice, real(isArray(this) ? this : Array.from(this), "slice"), given);
  } }.slice);

  const spreads = (part) => typeof part === "object" && part !== null && !isArray(part) && part[Symbol.isConcatSpreadable];
  replace(Array.prototype, "concat", { concat(...parts) {
    real(this, "concat");
    for (const part of parts) {
      if (spreads(part)) throw new TypeError("concat takes arrays and values only");
      if (isArray(part)) real(part, "concat");
    }
    return apply(concat, this, parts);
  } }.concat);

  // Without a function of one's own, texts are compared in C.
  const byText = (a, b) => {
    const [left, right] = [String(a), String(b)];
    return left < right ? -1 : left > right ? 1 : 0;
  };
  const sorted = (list, order) => apply(sort, real(list, "sort"), [order ?? byText]);
  replace(Array.prototype, "sort", { sort(order) { return sorted(this, order); } }.sort);
  if (Array.prototype.toSorted) {
    replace(Array.prototype, "toSorted", { toSorted(order) {
      return sorted(apply(slice, real(this, "toSorted"), []), order);
    } }.toSorted);
  }

  const flatten = (list, depth, into) => {
    for (let index = 0; index < list.length; index++) {
      if (!(index in list)) continue;
      const item = list[index];
      if (depth >= 1 && isArray(item)) flatten(real(item, "flat"), depth - 1, into);
      else into[into.length] = item;
    }
    return into;
  };
  replace(Array.prototype, "flat", { flat(depth = 1) { return flatten(real(this, "flat"), Number(depth) || 0, []); } }.flat);
  replace(Array.prototype, "flatMap", { flatMap(each, self) {
    return flatten(apply(map, real(this, "flatMap"), [each, self]), 1, []);
  } }.flatMap);

  let work = 0;
  const spend = (text, wanted) => {
    work += text.length * (wanted.length + 1);
    if (work > MOST_WORK) throw new RangeError("texts are searched too much; search less, or shorter ones");
  };
  const isPattern = (wanted) => typeof wanted === "object" && wanted !== null;
  for (const name of ["indexOf", "lastIndexOf", "includes", "split", "replace", "replaceAll"]) {
    const original = String.prototype[name];
    replace(String.prototype, name, { [name](wanted, ...rest) {
      if (this === null || this === undefined) throw new TypeError(`${name} needs a text`);
      // Regular expressions ask by themselves whether time is up.
      if (isPattern(wanted)) return apply(original, this, [wanted, ...rest]);
      const [text, sought] = [String(this), name === "split" && wanted === undefined ? undefined : String(wanted)];
      spend(text, sought ?? "");
      return apply(original, text, [sought, ...rest]);
    } }[name]);
  }

  // What JSON has no form for would be lost on its way out without a word.
  replace(Map.prototype, "toJSON", { toJSON() { return Object.fromEntries(this); } }.toJSON);
  replace(Set.prototype, "toJSON", { toJSON() { return [...this]; } }.toJSON);
  if (typeof BigInt === "function") replace(BigInt.prototype, "toJSON", { toJSON() { return String(this); } }.toJSON);

  // What is of no use here and would only widen the surface.
  for (const name of ["Atomics", "SharedArrayBuffer"]) delete globalThis[name];
});
