// What a script finds around it: variables, a log, and HTTP by asking. Time and chance are given, so that
// the same script with the same answers does the same each time. Called with the global object and
// {variables, own, answers, now, seed}; gives back what the engine calls.
(function (global, given) {
  "use strict";
  const state = { done: false, exit: null, error: null, set: {}, log: [], asks: [] };
  const has = Object.prototype.hasOwnProperty;
  const stringify = JSON.stringify, parse = JSON.parse, apply = Reflect.apply;
  const whole = String.prototype.toWellFormed;

  function shown(value) {
    if (typeof value === "string") return value;
    if (value instanceof Error) return String(value);
    const text = stringify(value);
    return text === undefined ? String(value) : text;
  }

  function words(error) {
    return String((error && error.message) || error).slice(0, 300);
  }

  // A flow's own variables may be named with or without `flow.`.
  function full(name) {
    name = String(name);
    return !has.call(given.variables, name) && has.call(given.variables, "flow." + name)
      ? "flow." + name
      : name;
  }

  global.get = function get(name) {
    name = full(name);
    if (has.call(state.set, name)) return state.set[name];
    return has.call(given.variables, name) ? given.variables[name] : null;
  };
  global.set = function set(name, value) {
    name = full(name);
    if (given.own.indexOf(name) < 0) throw new Error("the flow has no variable " + name);
    state.set[name] = value === undefined ? null : value;
  };
  global.log = function log() {
    if (state.log.length >= 50) return;
    const parts = Array.prototype.map.call(arguments, shown);
    state.log.push(parts.join(" ").slice(0, 500));
  };

  function request(options) {
    const asked = Object(options);
    const ask = {
      method: String(asked.method || "GET").toUpperCase(),
      url: String(asked.url),
      headers: [],
      body: null,
      json: false,
      credential: asked.credential === undefined ? null : String(asked.credential),
      timeout: asked.timeout === undefined ? null : Number(asked.timeout),
    };
    for (const name of Object.keys(Object(asked.headers))) {
      ask.headers.push([name, String(asked.headers[name])]);
    }
    if (asked.body !== undefined && asked.body !== null) {
      ask.json = typeof asked.body !== "string";
      ask.body = ask.json ? stringify(asked.body) : asked.body;
    }
    const answer = given.answers[state.asks.length];
    state.asks.push(ask);
    // Nobody has answered yet: the script waits here, and is run again once somebody has.
    if (answer === undefined) return new Promise(function () {});
    if (answer.failed !== null) return Promise.reject(new Error(answer.failed));
    let body = null;
    try {
      body = parse(answer.text);
    } catch (_) {
      // It is no JSON.
    }
    const ok = answer.status >= 200 && answer.status < 300;
    return Promise.resolve({ status: answer.status, ok: ok, text: answer.text, body: body });
  }
  function without(method) {
    return (url, options) => request(Object.assign({}, options, { method: method, url: url }));
  }
  function with_body(method) {
    return (url, body, options) =>
      request(Object.assign({}, options, { method: method, url: url, body: body }));
  }
  global.http = Object.freeze({
    request: request,
    get: without("GET"),
    delete: without("DELETE"),
    post: with_body("POST"),
    put: with_body("PUT"),
    patch: with_body("PATCH"),
  });

  // One moment, and one zone: UTC. The real clock is not within reach.
  const Given = Date;
  const zoned = /(z|gmt|utc|[+-]\d\d:?\d\d)\s*$/i;
  const day = /^\s*\d{4}(-\d\d){0,2}\s*$/;
  function moment(parts) {
    if (parts.length === 0) return given.now;
    if (parts.length > 1) return Given.UTC(...parts);
    const one = parts[0] instanceof Given ? parts[0].getTime() : parts[0];
    if (typeof one !== "string") return new Given(one).getTime();
    const read = new Given(one);
    if (zoned.test(one) || day.test(one)) return read.getTime();
    return read.getTime() - offset.call(read) * 60000;
  }
  const offset = Given.prototype.getTimezoneOffset;
  const iso = Given.prototype.toISOString;
  function Moment(...parts) {
    const at = new Given(moment(new.target ? parts : []));
    return new.target ? at : String(at);
  }
  Moment.prototype = Given.prototype;
  Object.defineProperty(Given.prototype, "constructor", { value: Moment });
  Moment.now = () => given.now;
  Moment.parse = (text) => moment([String(text)]);
  Moment.UTC = Given.UTC;
  for (const part of ["FullYear", "Month", "Date", "Day", "Hours", "Minutes", "Seconds", "Milliseconds"]) {
    Given.prototype["get" + part] = Given.prototype["getUTC" + part];
    if (part !== "Day") Given.prototype["set" + part] = Given.prototype["setUTC" + part];
  }
  Given.prototype.getTimezoneOffset = () => 0;
  const written = function () {
    return isNaN(this) ? "Invalid Date" : iso.call(this);
  };
  for (const name of ["toString", "toLocaleString", "toUTCString"]) Given.prototype[name] = written;
  for (const name of ["toDateString", "toLocaleDateString"]) {
    Given.prototype[name] = function () { return written.call(this).slice(0, 10); };
  }
  for (const name of ["toTimeString", "toLocaleTimeString"]) {
    Given.prototype[name] = function () { return written.call(this).slice(11, 19); };
  }
  global.Date = Moment;
  let seed = given.seed | 0;
  Math.random = function random() {
    // Mulberry32.
    seed = (seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
  // What these tell depends on when memory is freed, or how long something took.
  delete global.WeakRef;
  delete global.FinalizationRegistry;
  delete global.performance;

  return {
    start(main) {
      if (typeof main !== "function") {
        state.error = "there is no function main";
        state.done = true;
        return;
      }
      const end = (exit) => {
        state.done = true;
        state.exit = exit === undefined || exit === null ? null : shown(exit).slice(0, 1024);
      };
      const fail = (error) => {
        state.done = true;
        state.error = words(error);
      };
      try {
        Promise.resolve(main()).then(end, fail);
      } catch (error) {
        fail(error);
      }
    },
    read() {
      // Half of a pair of surrogates is no text.
      return stringify(state, (_, value) => (typeof value === "string" ? apply(whole, value, []) : value));
    },
  };
});
