// Enhances pages that work without it: shows a page's live part anew, and how far an upload is.
"use strict";

// The part of a page that changes by itself. Events say when, or a clock does; the server renders it, as ever.
let live = document.getElementById("live");
let stop = () => {};
let isAsking = false;
let isStale = false;

async function renew() {
  isStale = isAsking;
  if (isAsking) return;
  isAsking = true;
  try {
    const response = await fetch(location.href, { headers: { accept: "text/html" } });
    if (response.ok) show(new DOMParser().parseFromString(await response.text(), "text/html"));
  } catch {
    // The shop is away for a moment; the next event or tick asks again.
  } finally {
    isAsking = false;
  }
  if (isStale) await renew();
}

function show(page) {
  const next = page.getElementById("live");
  if (!next) return;
  live.replaceChildren(...next.childNodes);
  if (!next.dataset.events && !next.dataset.every) stop();
}

if (live?.dataset.events) {
  const source = new EventSource(live.dataset.events);
  stop = () => source.close();
  // "open" comes first: what happened before it is shown now.
  for (const kind of ["open", "order", "lagged"]) source.addEventListener(kind, renew);
  addEventListener("pagehide", stop);
} else if (live?.dataset.every) {
  const clock = setInterval(renew, Number(live.dataset.every));
  stop = () => clearInterval(clock);
}

// A form counts once by its key; this only saves a second request.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.dataset.sent) {
    event.preventDefault();
    return;
  }
  form.dataset.sent = "yes";
  if (form.id === "upload") {
    event.preventDefault();
    send(form);
  }
});

// Back from another page, a form can be sent again.
addEventListener("pageshow", () => {
  for (const form of document.forms) delete form.dataset.sent;
});

function send(form) {
  const sending = form.querySelector(".sending");
  const request = new XMLHttpRequest();
  request.upload.addEventListener("progress", ({ loaded, total }) => {
    const percent = Math.floor((loaded * 100) / total);
    sending.querySelector("progress").value = percent;
    sending.querySelector("output").textContent = `${percent} %`;
  });
  request.addEventListener("load", () => arrive(request));
  request.addEventListener("error", () => {
    delete form.dataset.sent;
    sending.textContent = "The upload broke off. Send the file again.";
  });
  sending.hidden = false;
  request.responseType = "document";
  request.open("POST", form.action);
  request.send(new FormData(form));
}

// Where the form would have led: to the job's page, or to the form with what is wrong with it.
function arrive(request) {
  if (request.status < 400) {
    location.assign(request.responseURL);
    return;
  }
  document.getElementById("main").replaceWith(document.adoptNode(request.response.getElementById("main")));
  document.getElementById("main").focus();
}
