// Passkeys. A form marked data-passkey asks the server for its question, has the browser answer it, and is then sent like any
// other form, with the answer in its field "credential". Where a field for an address says that it takes passkeys
// (autocomplete "webauthn"), the browser offers them there, without a press of a button.
(() => {
  "use strict";
  const bytes = (text) => {
    const plain = text.replace(/-/g, "+").replace(/_/g, "/");
    return Uint8Array.from(atob(plain), (c) => c.charCodeAt(0));
  };
  const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer)))
    .replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  const opened = (list) => (list ?? []).map((entry) => ({ ...entry, id: bytes(entry.id) }));

  const create = async (options) => {
    const made = await navigator.credentials.create({ publicKey: {
      ...options,
      challenge: bytes(options.challenge),
      user: { ...options.user, id: bytes(options.user.id) },
      excludeCredentials: opened(options.excludeCredentials),
    } });
    return {
      id: made.id, rawId: text(made.rawId), type: made.type, extensions: made.getClientExtensionResults(),
      response: {
        attestationObject: text(made.response.attestationObject),
        clientDataJSON: text(made.response.clientDataJSON),
        transports: made.response.getTransports?.() ?? [],
      },
    };
  };

  const get = async (options, how = {}) => {
    const found = await navigator.credentials.get({ ...how, publicKey: {
      ...options,
      challenge: bytes(options.challenge),
      allowCredentials: opened(options.allowCredentials),
    } });
    const { authenticatorData, clientDataJSON, signature, userHandle } = found.response;
    return {
      id: found.id, rawId: text(found.rawId), type: found.type, extensions: {},
      response: {
        authenticatorData: text(authenticatorData),
        clientDataJSON: text(clientDataJSON),
        signature: text(signature),
        userHandle: userHandle && userHandle.byteLength ? text(userHandle) : null,
      },
    };
  };

  const ask = async (form) => {
    const answer = await fetch(form.dataset.options, {
      method: "POST",
      headers: { "X-CSRF-Token": form.elements._csrf.value, "HX-Request": "true" },
      credentials: "same-origin",
      redirect: "error",
    });
    if (!answer.ok) throw new Error((await answer.text()) || "The console did not answer. Reload the page and try again.");
    return (await answer.json()).publicKey;
  };

  const why = (error) => {
    switch (error.name) {
      case "NotAllowedError": return "Nothing happened: it was cancelled, or took too long. Try again when you are ready.";
      case "InvalidStateError": return "This device has a passkey for your account already.";
      case "NotSupportedError": return "This device cannot make a passkey. Use another one.";
      case "SecurityError": return "Passkeys do not work at this address.";
      case "TypeError": return "The console could not be reached. Check your connection and try again.";
      default: return error.message;
    }
  };

  const say = (form, words) => {
    const place = form.querySelector("[data-passkey-error]");
    place.hidden = !words;
    place.lastElementChild.textContent = words;
  };

  const answered = (form, made) => {
    form.elements.credential.value = JSON.stringify(made);
    form.submit();
  };

  // What the browser keeps open beside the field: one question at a time, and a new one before the server forgets it.
  const KEPT = 4 * 60 * 1000;
  let offered, pressed = false;
  const withdraw = async () => {
    offered?.stop.abort();
    // The server keeps the last question it was asked: this one must not overtake the next.
    await offered?.asked.catch(() => {});
    offered = undefined;
  };
  const offer = async (form) => {
    const stop = new AbortController();
    const asked = ask(form);
    offered = { stop, asked };
    const renew = setTimeout(async () => { await withdraw(); offer(form); }, KEPT);
    try {
      const options = await asked;
      if (stop.signal.aborted) return;
      const made = await get(options, { mediation: "conditional", signal: stop.signal });
      if (!stop.signal.aborted) answered(form, made);
    } catch { /* nobody asked for it aloud: the button and the password are there */
    } finally {
      clearTimeout(renew);
    }
  };
  const offerInField = async () => {
    const form = document.querySelector("form[data-passkey=get]");
    const possible = form && document.querySelector("input[autocomplete~=webauthn]")
      && await window.PublicKeyCredential?.isConditionalMediationAvailable?.();
    if (possible && !pressed) offer(form);
  };

  const send = async (form) => {
    const button = form.querySelector("button");
    button.disabled = pressed = true;
    say(form, "");
    await withdraw();
    try {
      const made = form.dataset.passkey === "create" ? await create(await ask(form)) : await get(await ask(form));
      answered(form, made);
    } catch (error) {
      say(form, why(error));
      pressed = false;
      offerInField();
    } finally {
      button.disabled = false;
    }
  };

  document.addEventListener("submit", (event) => {
    const form = event.target.closest("form[data-passkey]");
    if (!form || form.elements.credential.value) return;
    event.preventDefault();
    send(form);
  });

  document.querySelectorAll("form[data-passkey]").forEach((form) => {
    form.hidden = false;
    if (window.PublicKeyCredential) return;
    form.querySelector("button").disabled = true;
    say(form, "This browser has no passkeys.");
  });
  offerInField();
})();
