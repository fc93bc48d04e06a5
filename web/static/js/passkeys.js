// Passkeys. A form marked data-passkey asks the server for its question, has the browser answer it, and is then sent like any
// other form, with the answer in its field "credential".
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

  const get = async (options) => {
    const found = await navigator.credentials.get({ publicKey: {
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

  const send = async (form) => {
    const button = form.querySelector("button");
    button.disabled = true;
    say(form, "");
    try {
      const made = form.dataset.passkey === "create" ? await create(await ask(form)) : await get(await ask(form));
      form.elements.credential.value = JSON.stringify(made);
      form.submit();
    } catch (error) {
      say(form, why(error));
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
})();
