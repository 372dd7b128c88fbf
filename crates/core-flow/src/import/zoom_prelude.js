// Zoom's functions for scripts, by Frontdesk's. Put before an imported script, behind `zoom_names` (its
// variables by ours) and `zoom_block` (the beginning of its own variables' names).
function var_get() {
  const all = {};
  for (const name of Object.keys(zoom_names)) {
    const value = get(zoom_names[name]);
    all[name] = value === "" ? null : value;
  }
  return all;
}
function zoom_set(name, value) {
  set(name, value !== null && typeof value === "object" ? JSON.stringify(value) : value);
}
function var_set(name, value) {
  zoom_set(zoom_block + name, value);
}
function global_var_set(name, value) {
  if (zoom_names[name]) zoom_set(zoom_names[name], value);
}
const zoom_log = globalThis.log;
const log = { debug: zoom_log, info: zoom_log, warn: zoom_log, error: zoom_log };
async function zoom_ask(method, url, data, options) {
  const asked = Object(options), params = Object(asked.params);
  const query = Object.keys(params)
    .filter((name) => params[name] !== null && params[name] !== undefined)
    .map((name) => encodeURIComponent(name) + "=" + encodeURIComponent(params[name]))
    .join("&");
  const join = String(url).includes("?") ? "&" : "?";
  const answer = await http.request({
    method: method,
    url: query ? url + join + query : url,
    headers: asked.headers,
    body: data,
    timeout: asked.timeout ? asked.timeout / 1000 : undefined,
  });
  const result = { status: answer.status, data: answer.body === null ? answer.text : answer.body };
  if (answer.ok) return result;
  const error = new Error("Request failed with status code " + answer.status);
  error.response = result;
  throw error;
}
const req = {
  get: (url, options) => zoom_ask("GET", url, undefined, options),
  delete: (url, options) => zoom_ask("DELETE", url, undefined, options),
  post: (url, data, options) => zoom_ask("POST", url, data, options),
  put: (url, data, options) => zoom_ask("PUT", url, data, options),
  patch: (url, data, options) => zoom_ask("PATCH", url, data, options),
};
