// The pages people sign in with. They use the API like everybody else; the session is a cookie no script can read.

const byId = (id) => document.getElementById(id);

class Problem extends Error {
  constructor(body) {
    super(body.errors?.[0]?.detail || body.detail || body.title || "Something went wrong.");
    this.code = body.code;
  }
}

async function call(method, path, body) {
  const answer = await fetch(path, {
    method,
    credentials: "same-origin",
    headers: body === undefined ? {} : { "Content-Type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
  }).catch(() => {
    throw new Error("The server does not answer. Try again in a moment.");
  });
  const text = await answer.text();
  let said = {};
  try {
    said = text ? JSON.parse(text) : {};
  } catch {
    said = { title: `The server answered ${answer.status}.` };
  }
  if (!answer.ok) throw new Problem(said);
  return said;
}

function say(text, kind = "info") {
  const status = byId("status");
  status.textContent = text;
  status.dataset.kind = kind;
}

// Runs what a button or form does: once at a time, and says what went wrong.
function act(element, event, work) {
  element.addEventListener(event, async (happened) => {
    happened.preventDefault();
    const buttons = [...document.querySelectorAll("button")];
    buttons.forEach((button) => (button.disabled = true));
    say("");
    try {
      await work(happened);
    } catch (error) {
      say(error.name === "NotAllowedError" ? "The passkey was not used." : error.message, "error");
    } finally {
      buttons.forEach((button) => (button.disabled = false));
    }
  });
}

const fields = (form) => Object.fromEntries(new FormData(form));

// Passkeys: the API speaks base64url where the browser wants bytes (WebAuthn level 3, §5.1).

function toBytes(text) {
  const plain = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(plain, (character) => character.charCodeAt(0));
}

function toText(bytes) {
  const plain = String.fromCharCode(...new Uint8Array(bytes));
  return btoa(plain).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

const described = (list) => (list || []).map((one) => ({ ...one, id: toBytes(one.id) }));

async function usePasskey() {
  const { public_key: options } = await call("POST", "/v1/sessions/passkey/options");
  const made = await navigator.credentials.get({
    publicKey: {
      ...options,
      challenge: toBytes(options.challenge),
      allowCredentials: described(options.allowCredentials),
    },
  });
  const { authenticatorData, clientDataJSON, signature, userHandle } = made.response;
  return {
    id: made.id,
    rawId: toText(made.rawId),
    type: made.type,
    clientExtensionResults: {},
    response: {
      authenticatorData: toText(authenticatorData),
      clientDataJSON: toText(clientDataJSON),
      signature: toText(signature),
      ...(userHandle ? { userHandle: toText(userHandle) } : {}),
    },
  };
}

async function makePasskey() {
  const { public_key: options } = await call("POST", "/v1/identity/passkeys/options");
  const made = await navigator.credentials.create({
    publicKey: {
      ...options,
      challenge: toBytes(options.challenge),
      user: { ...options.user, id: toBytes(options.user.id) },
      excludeCredentials: described(options.excludeCredentials),
    },
  });
  return {
    id: made.id,
    rawId: toText(made.rawId),
    type: made.type,
    clientExtensionResults: {},
    response: {
      attestationObject: toText(made.response.attestationObject),
      clientDataJSON: toText(made.response.clientDataJSON),
    },
  };
}

// Sign in

// Only paths of this server: an address that is somebody else's would make a phishing page of ours.
function goOn() {
  const next = new URLSearchParams(location.search).get("next");
  const there = new URL(next || "/account", location.origin);
  // With the origin before it: a path may begin with two slashes, and would be read as another server's.
  const inside = location.origin + there.pathname + there.search + location.hash;
  location.assign(there.origin === location.origin ? inside : "/account");
}

async function signInPage() {
  await signInForms({}, goOn);
}

async function signInForms(extra, then) {
  act(byId("password-form"), "submit", async (event) => {
    try {
      await call("POST", "/v1/sessions", { ...fields(event.target), ...extra, cookie: true });
    } catch (problem) {
      if (problem.code !== "second-factor-required") throw problem;
      await call("POST", "/v1/sessions/passkey", { credential: await usePasskey(), ...extra, cookie: true });
    }
    await then();
  });
  act(byId("passkey"), "click", async () => {
    await call("POST", "/v1/sessions/passkey", { credential: await usePasskey(), ...extra, cookie: true });
    await then();
  });
}

async function whoami() {
  try {
    return await call("GET", "/v1/identity");
  } catch (problem) {
    if (problem.code === "unauthenticated") return null;
    throw problem;
  }
}

function signInFirst() {
  location.assign(`/signin?next=${encodeURIComponent(location.pathname)}${location.hash}`);
}

// Invitation

async function invitationPage() {
  const token = location.hash.slice(1);
  // Out of the address bar, so that it is in no screenshot and no history.
  history.replaceState(null, "", location.pathname);
  let found;
  try {
    found = await call("POST", "/v1/invitations/look", { token });
  } catch (problem) {
    const gone = problem.code === "not-found" || problem.code === "invalid";
    if (gone) document.querySelector("h1").textContent = "This invitation does not work";
    say(gone ? `${problem.message} Ask whoever sent it for another.` : problem.message, "error");
    return;
  }
  const by = found.invited_by ? `${found.invited_by} invites you to` : "You are invited to";
  const article = /^[aeiou]/.test(found.role) ? "an" : "a";
  byId("invited").textContent = `${by} ${found.organisation_name}, as ${article} ${found.role}.`;
  const done = () => location.assign("/account");
  const me = await whoami();
  if (me) {
    byId("accept").hidden = false;
    byId("me").textContent = `${me.person.name} · ${me.person.email || ""}`;
    act(byId("not-me"), "click", async () => {
      await call("DELETE", "/v1/sessions/current");
      history.replaceState(null, "", `${location.pathname}#${token}`);
      location.reload();
    });
    act(byId("accept-button"), "click", async () => {
      const joined = await call("POST", "/v1/invitations/accept", { token });
      await call("POST", "/v1/sessions/switch", { organisation: joined.organisation_id });
      done();
    });
    return;
  }
  byId("new").hidden = byId("known").hidden = false;
  if (found.email) byId("email").value = byId("known-email").value = found.email;
  await signInForms({ invitation: token }, done);
  act(byId("sign-up-form"), "submit", async (event) => {
    await call("POST", "/v1/identity/sign-up", { ...fields(event.target), invitation: token, cookie: true });
    done();
  });
}

// Device

async function devicePage() {
  const me = await whoami();
  if (!me) return signInFirst();
  byId("who").textContent = `${me.person.name}, in ${me.organisation.name}`;
  byId("code").value = decodeURIComponent(location.hash.slice(1));
  // Two steps: whoever was sent here by somebody else sees whose device it is before there is anything to approve.
  const showing = (details) => {
    byId("device-form").hidden = details;
    byId("settle-form").hidden = !details;
  };
  let user_code;
  act(byId("device-form"), "submit", async (event) => {
    user_code = fields(event.target).user_code;
    showDevice(user_code, await call("POST", "/v1/sessions/device/look", { user_code }));
    showing(true);
    byId("asks").focus();
  });
  act(byId("settle-form"), "submit", async (event) => {
    const approve = event.submitter.value === "approve";
    await call("POST", "/v1/sessions/device/approve", { user_code, approve });
    say(approve ? "Approved. The device goes on by itself." : "Refused.");
    byId("device-form").reset();
    showing(false);
  });
}

function showDevice(code, found) {
  const minutes = Math.floor((Date.now() - new Date(found.created_at)) / 60_000);
  const ago = minutes < 1 ? "just now" : `${minutes} min ago`;
  byId("device-code").textContent = code.toUpperCase();
  byId("device-agent").textContent = found.user_agent || "nothing";
  byId("device-network").textContent = `${found.network || "unknown"} (${found.near ? "your network" : "not your network"})`;
  byId("device-time").textContent = `${new Date(found.created_at).toLocaleTimeString()}, ${ago}`;
  byId("device-scopes").textContent = `all that you may: ${found.scopes.join(", ")}`;
  byId("device-warning").textContent =
    (found.near ? "" : "This device is in another network than you are. ") +
    "Go on only if you began this sign-in yourself and see this code on the device before you.";
}

// Account

async function stepUp() {
  const dialog = byId("step-up");
  dialog.querySelectorAll("button").forEach((button) => (button.disabled = false));
  dialog.returnValue = "cancel";
  dialog.showModal();
  await new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
  const password = byId("step-up-password").value;
  byId("step-up-form").reset();
  if (dialog.returnValue === "cancel") throw new Error("Nothing was changed.");
  const proof = dialog.returnValue === "passkey" ? { credential: await usePasskey() } : { password };
  await call("POST", "/v1/sessions/step-up", proof);
}

async function fresh(work) {
  try {
    return await work();
  } catch (problem) {
    if (problem.code !== "step-up-required") throw problem;
    await stepUp();
    return work();
  }
}

function show(list, items, describe, end, label) {
  if (!items.length) {
    const nothing = document.createElement("li");
    nothing.className = "nothing";
    nothing.textContent = "None yet.";
    list.replaceChildren(nothing);
    return;
  }
  list.replaceChildren(
    ...items.map((item) => {
      const line = document.createElement("li");
      const text = document.createElement("span");
      text.textContent = describe(item);
      line.append(text);
      // This session ends by signing out.
      if (!item.current) {
        const button = document.createElement("button");
        button.type = "button";
        button.className = "second";
        button.textContent = label;
        button.setAttribute("aria-label", `${label}: ${describe(item)}`);
        act(button, "click", async () => {
          await end(item);
          await accountLists();
        });
        line.append(button);
      }
      return line;
    }),
  );
}

// Browsers call themselves by many names; the first of these is what people call them (MDN, "User-Agent").
function program(agent) {
  const first = (names) => Object.keys(names).find((name) => names[name].test(agent));
  const browser = first({ Edge: /Edg/, Opera: /OPR\//, Firefox: /Firefox\//, Chrome: /Chrome\//, Safari: /Safari\// });
  const system = first({ Android: /Android/, iOS: /iPhone|iPad/, Windows: /Windows/, macOS: /Mac OS X/, Linux: /Linux/ });
  return browser && system ? `${browser} on ${system}` : agent || "unknown";
}

const day = (moment) => (moment ? new Date(moment).toLocaleDateString() : "never");

async function accountLists() {
  const [sessions, passkeys, keys] = await Promise.all([
    call("GET", "/v1/sessions"),
    call("GET", "/v1/identity/passkeys"),
    call("GET", "/v1/keys"),
  ]);
  show(
    byId("sessions"),
    sessions.items,
    (one) => `${one.current ? "This one: " : ""}${program(one.user_agent)}, last used ${day(one.last_seen_at)}`,
    (one) => call("DELETE", `/v1/sessions/${one.id}`),
    "End",
  );
  byId("revoke-others").hidden = sessions.items.length < 2;
  show(
    byId("passkeys"),
    passkeys.items,
    (one) => `${one.name}, last used ${day(one.last_used_at)}`,
    (one) => fresh(() => call("DELETE", `/v1/identity/passkeys/${one.id}`)),
    "Remove",
  );
  show(
    byId("keys"),
    keys.items.filter((one) => !one.revoked_at),
    (one) => `${one.name} (${one.key_id}…), last used ${day(one.last_used_at)}, expires ${day(one.expires_at)}`,
    (one) => call("DELETE", `/v1/keys/${one.id}`),
    "End",
  );
}

async function accountPage() {
  const me = await whoami();
  if (!me) return signInFirst();
  byId("who").textContent = `${me.person.name} · ${me.person.email || ""} · ${me.role} of ${me.organisation.name}`;
  byId("organisation").replaceChildren(
    ...me.organisations.map((one) => new Option(one.organisation_name, one.organisation_id)),
  );
  byId("organisation").value = me.organisation.id;
  byId("switch-form").hidden = me.organisations.length < 2;
  byId("login-command").textContent = `devlore login --url ${location.origin}`;
  act(byId("switch-form"), "submit", async (event) => {
    await call("POST", "/v1/sessions/switch", fields(event.target));
    location.reload();
  });
  act(byId("revoke-others"), "click", async () => {
    await call("DELETE", "/v1/sessions");
    await accountLists();
  });
  act(byId("sign-out"), "click", async () => {
    await call("DELETE", "/v1/sessions/current");
    location.assign("/signin");
  });
  act(byId("passkey-form"), "submit", async (event) => {
    const { name } = fields(event.target);
    await fresh(async () => call("POST", "/v1/identity/passkeys", { name, credential: await makePasskey() }));
    event.target.reset();
    await accountLists();
  });
  act(byId("change-form"), "submit", async (event) => {
    const { old, new: changed } = fields(event.target);
    await fresh(() => call("POST", "/v1/identity/password", { new: changed, ...(old ? { old } : {}) }));
    event.target.reset();
    say("Changed. Your other sessions have ended.");
    await accountLists();
  });
  act(byId("key-form"), "submit", async (event) => {
    const { name, days } = fields(event.target);
    const expires_at = new Date(Date.now() + Number(days) * 86_400_000).toISOString();
    const made = await fresh(() => call("POST", "/v1/keys", { name, expires_at }));
    byId("new-key").hidden = false;
    byId("new-key").querySelector("code").textContent = made.key;
    event.target.reset();
    await accountLists();
  });
  await accountLists();
}

const pages = { signin: signInPage, invitation: invitationPage, device: devicePage, account: accountPage };
pages[document.body.dataset.page]().catch((error) => say(error.message, "error"));
