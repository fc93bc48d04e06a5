// Lets Node's DNS answer for `*.localhost`, which RFC 6761 gives to this machine and which some systems do not resolve.
// Used as `NODE_OPTIONS=--require .../resolve-localhost.cjs`.
"use strict";

const dns = require("node:dns");

const lookup = dns.lookup;

function isLocal(host) {
  return typeof host === "string" && /(^|\.)localhost\.?$/i.test(host);
}

dns.lookup = function (host, options, callback) {
  if (typeof options === "function") {
    callback = options;
    options = {};
  }
  if (!isLocal(host)) {
    return lookup.call(dns, host, options, callback);
  }
  const wantsAll = typeof options === "object" && options !== null && options.all === true;
  const here = { address: "127.0.0.1", family: 4 };
  process.nextTick(() => (wantsAll ? callback(null, [here]) : callback(null, here.address, here.family)));
};

const promised = dns.promises.lookup;

dns.promises.lookup = async function (host, options) {
  if (!isLocal(host)) {
    return promised.call(dns.promises, host, options);
  }
  const here = { address: "127.0.0.1", family: 4 };
  return typeof options === "object" && options !== null && options.all === true ? [here] : here;
};
