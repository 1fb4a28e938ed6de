"use strict";

// window.tabhero, for tests and measurements. Times are seconds of the audio, places are CSS pixels of the highway.
//   time, duration, playing
//   track        what is shown: {instrument, difficulty, times, lanes, kinds, ...}
//   strikeY      where notes are played
//   project(s)   y at which the instant s is drawn now
//   noteY(i)     project() of the track's note i
//   frame        the last frame: {time, notes: [{index, y}], visited: how many things were looked at to draw it}
//   seek(s)
//   draw()       draws a frame now, and returns it
//   audio        the <audio> whose clock drives the picture as long as it lasts

const song = JSON.parse(document.getElementById("data").textContent);
const element = (id) => document.getElementById(id);
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

// The index of the first of ascending values that is greater than a value.
function firstAfter(values, value) {
  let low = 0;
  let high = values.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle] > value) high = middle;
    else low = middle + 1;
  }
  return low;
}

// Time: that of the audio where there is audio, else a timer's.

class Clock {
  #audio;
  #audioEnd;
  #position = 0; // where it stands, or where the timer was at #since
  #since = 0;
  #audioDrives = false;
  #read = { time: 0, at: 0, moves: false };
  #rate = 1;

  constructor(audio, audioSeconds, duration) {
    this.#audio = audio;
    this.#audioEnd = audioSeconds;
    this.duration = duration;
    this.playing = false;
    audio.addEventListener("ended", () => this.#audioDrives && this.#startTimer(this.#audioEnd));
    audio.addEventListener("error", () => this.#lose("This browser cannot play the audio."));
  }

  get time() {
    if (!this.playing) return this.#position;
    if (this.#audioDrives) return this.#audioTime();
    return Math.min(this.#position + (performance.now() / 1000 - this.#since) * this.#rate, this.duration);
  }

  play() {
    if (this.playing) return;
    if (this.#position >= this.duration) this.#position = 0;
    this.playing = true;
    this.#start();
  }

  pause() {
    if (!this.playing) return;
    this.#audio.pause();
    this.#position = this.#audioDrives ? this.#audio.currentTime : this.time;
    this.playing = false;
  }

  seek(time) {
    this.#position = clamp(time, 0, this.duration);
    if (this.playing) this.#start();
    else if (this.#position < this.#audioEnd) this.#audio.currentTime = this.#position;
  }

  set rate(rate) {
    const time = this.time;
    this.#rate = this.#audio.playbackRate = rate;
    if (this.playing && !this.#audioDrives) this.#startTimer(time);
  }

  get rate() {
    return this.#rate;
  }

  #start() {
    this.#audioDrives = this.#position < this.#audioEnd;
    if (!this.#audioDrives) {
      this.#audio.pause();
      this.#startTimer(this.#position);
      return;
    }
    this.#audio.currentTime = this.#position;
    this.#read = { time: this.#audio.currentTime, at: 0, moves: false };
    this.#audio.play().catch((error) => {
      if (error.name === "NotAllowedError") this.pause();
    });
  }

  #startTimer(position) {
    this.#audioDrives = false;
    this.#position = position;
    this.#since = performance.now() / 1000;
  }

  // Some browsers move currentTime on in steps of up to 40 ms.
  #audioTime() {
    const now = performance.now() / 1000;
    const time = this.#audio.currentTime;
    if (time !== this.#read.time) this.#read = { time, at: now, moves: !this.#audio.seeking };
    if (!this.#read.moves) return time;
    return time + Math.min(now - this.#read.at, 0.05) * this.#rate;
  }

  #lose(text) {
    element("notice").textContent = text;
    const time = this.time;
    this.#audioEnd = 0;
    this.#startTimer(time);
  }
}

function makeClock() {
  if (song.audioSeconds) {
    const letters = atob(element("ogg").textContent);
    const bytes = new Uint8Array(letters.length);
    for (let i = 0; i < letters.length; i++) bytes[i] = letters.charCodeAt(i);
    audio.src = URL.createObjectURL(new Blob([bytes], { type: "audio/ogg" }));
  } else {
    element("notice").textContent = "The song has no audio.";
  }
  return new Clock(audio, song.audioSeconds, song.duration);
}

const audio = new Audio();
const clock = makeClock();

// Clicks: short tones, handed to WebAudio a little before they are due.

const AHEAD = 0.1;
const MISSED = 0.05;
const MEASURE_CLICK = { frequency: 1760, gain: 0.35 };
const BEAT_CLICK = { frequency: 1175, gain: 0.25 };
const HIT_CLICK = { frequency: 2637, gain: 0.25 };

const clicks = {
  metronome: false,
  hits: false,
  context: null,
  through: 0, // up to where clicks are handed over
  waiting: [], // those that do not sound yet, and when they will

  enable(kind, on) {
    this[kind] = on;
    if (on) this.wake();
  },

  wake() {
    if (!this.metronome && !this.hits) return;
    this.context ??= new AudioContext();
    this.context.resume();
  },

  // What lies right here sounds, however late the next frame is, and what was handed over before does not.
  restart() {
    this.through = clock.time - 0.001;
    for (const { tone, start } of this.waiting) {
      if (start > this.context.currentTime) tone.disconnect();
    }
    this.waiting = [];
    if (clock.playing) this.schedule(clock.time);
  },

  schedule(time) {
    if (!this.context) return;
    // Nothing is scheduled in a hidden tab: what it missed is past.
    this.through = Math.max(this.through, time - MISSED);
    // What the context renders now is heard later by its latency; the audio's time is the one heard.
    const latency = this.context.outputLatency || this.context.baseLatency;
    const until = time + (AHEAD + latency) * clock.rate;
    const due = (seconds, click) =>
      this.sound(this.context.currentTime + (seconds - time) / clock.rate - latency, click);
    if (this.metronome) {
      for (let i = firstAfter(song.beats, this.through); song.beats[i] <= until; i++) {
        due(song.beats[i], song.measures[i] ? MEASURE_CLICK : BEAT_CLICK);
      }
    }
    if (this.hits) {
      for (let i = firstAfter(track.times, this.through); track.times[i] <= until; i++) due(track.times[i], HIT_CLICK);
    }
    this.through = Math.max(this.through, until);
  },

  sound(at, { frequency, gain }) {
    const start = Math.max(at, this.context.currentTime);
    const tone = new OscillatorNode(this.context, { frequency });
    const volume = new GainNode(this.context, { gain });
    volume.gain.setValueAtTime(gain, start);
    volume.gain.exponentialRampToValueAtTime(0.001, start + 0.04);
    tone.connect(volume).connect(this.context.destination);
    tone.start(start);
    tone.stop(start + 0.05);
    this.waiting = [...this.waiting.filter((click) => click.start > this.context.currentTime), { tone, start }];
  },
};

// Highway: distance ahead d is drawn at the scale 1 / (1 + d), which is 1 at the strike line.

const VANISHING_Y = -0.2; // of the canvas's height, as are the next two
const HORIZON_Y = 0.12;
const STRIKE_Y = 0.86;
const WINDOW = 1.8; // seconds from the strike line to the horizon, at a scroll speed of 1
const FLASH = 0.12;
const BACKGROUND = "12, 14, 20"; // as in page.css
const STAR_POWER = "70, 200, 255";

const canvas = element("highway");
const context = canvas.getContext("2d");
const view = { width: 0, height: 0, middle: 0, half: 0, vanishingY: 0, strikeY: 0, horizon: 0, secondsPerDistance: 1 };
let scroll = 1;
let track; // the one shown
let frame = { time: 0, notes: [], visited: 0 };
let stale = true; // whether something other than the time has changed since the last frame

function fitCanvas(target) {
  const ratio = Math.min(window.devicePixelRatio, 2);
  target.width = Math.max(Math.round(target.clientWidth * ratio), 1);
  target.height = Math.max(Math.round(target.clientHeight * ratio), 1);
  target.getContext("2d").setTransform(ratio, 0, 0, ratio, 0, 0);
}

function layOut() {
  const { clientWidth: width, clientHeight: height } = canvas;
  const depth = STRIKE_Y - VANISHING_Y;
  const farthest = depth / (HORIZON_Y - VANISHING_Y) - 1;
  Object.assign(view, {
    width,
    height,
    middle: width / 2,
    half: Math.min(width * 0.34, height * 0.52),
    vanishingY: height * VANISHING_Y,
    strikeY: height * STRIKE_Y,
    horizon: WINDOW / scroll,
    secondsPerDistance: WINDOW / scroll / farthest,
  });
  // Where the bottom of the canvas is, and a little beyond.
  view.passed = view.secondsPerDistance * (depth / (1.06 - VANISHING_Y) - 1);
  stale = true;
}

const scaleAt = (ahead) => 1 / (1 + ahead / view.secondsPerDistance);
const yAt = (scale) => view.vanishingY + (view.strikeY - view.vanishingY) * scale;
const edgeX = (lane, scale) => view.middle + view.half * scale * ((2 * lane) / track.colors.length - 1);

function project(seconds) {
  return yAt(scaleAt(Math.max(seconds - clock.time, view.passed)));
}

// Visits what lies in a stretch of time, of things in order that do not overlap.
function visible(starts, ends, from, to, visit) {
  for (let i = firstAfter(ends, from); i < starts.length && starts[i] < to; i++) {
    frame.visited++;
    visit(i);
  }
}

function draw() {
  const time = clock.time;
  frame = { time, notes: [], visited: 0 };
  const from = time + view.passed;
  const to = time + view.horizon;
  const scaleOf = (seconds) => scaleAt(clamp(seconds, from, to) - time);
  const lanes = track.colors.length;

  context.fillStyle = `rgb(${BACKGROUND})`;
  context.fillRect(0, 0, view.width, view.height);
  fillStretch(0, lanes, scaleOf(from), scaleOf(to), "#191d29");
  visible(track.starPower.starts, track.starPower.ends, from, to, (i) => {
    const near = scaleOf(track.starPower.starts[i]);
    const far = scaleOf(track.starPower.ends[i]);
    fillStretch(0, lanes, near, far, `rgba(${STAR_POWER}, 0.2)`);
    fillStretch(-0.12, 0, near, far, `rgb(${STAR_POWER})`);
    fillStretch(lanes, lanes + 0.12, near, far, `rgb(${STAR_POWER})`);
  });
  for (let lane = 0; lane <= lanes; lane++) {
    const outer = lane === 0 || lane === lanes;
    line(lane, scaleOf(from), lane, scaleOf(to), outer ? "#77809a" : "#414a61", outer ? 3 : 1);
  }
  visible(song.beats, song.beats, from, to, (i) => {
    const scale = scaleOf(song.beats[i]);
    line(0, scale, lanes, scale, song.measures[i] ? "#a7b0c6" : "#4a5268", (song.measures[i] ? 4 : 2) * scale);
  });
  visible(song.sections.times, song.sections.times, from, to, (i) => {
    line(0, scaleOf(song.sections.times[i]), lanes, scaleOf(song.sections.times[i]), "#4cc9f0", 3);
  });
  drawSustains(time, from, to, scaleOf);
  drawStrikeLine(time);
  drawNotes(time, from, to, scaleOf);
  fadeHorizon();
  drawSectionNames(from, to, scaleOf);
  return frame;
}

// Straight edges stay straight in perspective, so that any stretch of the highway is a trapezoid.
function fillStretch(left, right, near, far, style) {
  context.fillStyle = style;
  context.beginPath();
  context.moveTo(edgeX(left, near), yAt(near));
  context.lineTo(edgeX(right, near), yAt(near));
  context.lineTo(edgeX(right, far), yAt(far));
  context.lineTo(edgeX(left, far), yAt(far));
  context.fill();
}

function line(laneA, scaleA, laneB, scaleB, style, width) {
  context.strokeStyle = style;
  context.lineWidth = width;
  context.beginPath();
  context.moveTo(edgeX(laneA, scaleA), yAt(scaleA));
  context.lineTo(edgeX(laneB, scaleB), yAt(scaleB));
  context.stroke();
}

const isOpen = (lane) => lane === 6;
const colorOf = (lane) => (isOpen(lane) ? song.openColor : track.colors[lane]);

function drawSustains(time, from, to, scaleOf) {
  for (const { lane, starts, ends } of track.sustains) {
    visible(starts, ends, from, to, (i) => {
      if (ends[i] <= time) return;
      const held = starts[i] <= time;
      context.globalAlpha = isOpen(lane) ? 0.45 : held ? 1 : 0.7;
      const [left, right] = isOpen(lane) ? [0.04, track.colors.length - 0.04] : [lane + 0.4, lane + 0.6];
      fillStretch(left, right, scaleOf(Math.max(starts[i], time)), scaleOf(ends[i]), colorOf(lane));
    });
  }
  context.globalAlpha = 1;
}

function drawStrikeLine(time) {
  const lanes = track.colors.length;
  const glow = new Array(lanes).fill(0);
  visible(track.times, track.times, time - FLASH, time, (i) => {
    for (const lane of track.lanes[i]) {
      const brightness = 1 - (time - track.times[i]) / FLASH;
      if (isOpen(lane)) glow.fill(brightness);
      else glow[lane] = brightness;
    }
  });
  const width = (2 * view.half) / lanes;
  for (let lane = 0; lane < lanes; lane++) {
    context.beginPath();
    context.ellipse(edgeX(lane + 0.5, 1), view.strikeY, width * 0.43, width * 0.24, 0, 0, 2 * Math.PI);
    context.fillStyle = "#0c0e14";
    context.fill();
    context.globalAlpha = glow[lane];
    context.fillStyle = colorOf(lane);
    context.fill();
    context.globalAlpha = 1;
    context.strokeStyle = colorOf(lane);
    context.lineWidth = 3;
    context.stroke();
  }
}

function drawNotes(time, from, to, scaleOf) {
  visible(track.times, track.times, from, to, (index) => {
    frame.notes.push({ index, y: yAt(scaleOf(track.times[index])) });
  });
  // Nearer notes cover farther ones, and frets cover opens.
  for (const { index, y } of frame.notes.toReversed()) {
    const scale = scaleOf(track.times[index]);
    context.globalAlpha = clamp(1 - (time - track.times[index]) / FLASH, 0, 1);
    for (const lane of track.lanes[index].toReversed()) {
      const sprite = gem(colorOf(lane), track.kinds[index], track.starred[index], isOpen(lane));
      const [left, right] = isOpen(lane) ? [-0.06, track.colors.length + 0.06] : [lane - 0.02, lane + 1.02];
      const width = edgeX(right, scale) - edgeX(left, scale);
      const height = isOpen(lane) ? ((view.half * scale) / track.colors.length) * 0.5 : width * GEM_FLATNESS;
      context.drawImage(sprite, edgeX(left, scale), y - height / 2, width, height);
    }
  }
  context.globalAlpha = 1;
}

function fadeHorizon() {
  const bottom = view.height * (HORIZON_Y + 0.12);
  const fade = context.createLinearGradient(0, view.height * HORIZON_Y, 0, bottom);
  fade.addColorStop(0, `rgba(${BACKGROUND}, 1)`);
  fade.addColorStop(1, `rgba(${BACKGROUND}, 0)`);
  context.fillStyle = fade;
  context.fillRect(0, 0, view.width, bottom);
}

function drawSectionNames(from, to, scaleOf) {
  context.textBaseline = "middle";
  visible(song.sections.times, song.sections.times, from, to, (i) => {
    const scale = scaleOf(song.sections.times[i]);
    context.font = `600 ${10 + 8 * scale}px system-ui, sans-serif`;
    context.fillStyle = "#4cc9f0";
    const left = edgeX(track.colors.length, scale) + 10;
    if (left < view.width) context.fillText(song.sections.names[i], left, yAt(scale), view.width - left);
  });
}

// Gems are drawn once for each look, and then copied.

const GEM_FLATNESS = 0.58;
const STRUM = 0;
const HOPO = 1;
const gems = new Map();

function gem(color, kind, starred, open) {
  const key = `${color} ${kind} ${starred} ${open}`;
  if (!gems.has(key)) gems.set(key, open ? drawBar(color, kind) : drawGem(color, kind, starred));
  return gems.get(key);
}

function drawGem(color, kind, starred) {
  const sprite = new OffscreenCanvas(160, Math.round(160 * GEM_FLATNESS));
  const brush = sprite.getContext("2d");
  brush.translate(80, sprite.height / 2);
  brush.scale(1, GEM_FLATNESS);
  const layer = (radius, style, y) => {
    brush.beginPath();
    if (starred && radius > 45) star(brush, radius, y);
    else brush.ellipse(0, y, radius, radius, 0, 0, 2 * Math.PI);
    brush.fillStyle = style;
    brush.fill();
  };
  layer(72, "#05060a", 6);
  layer(70, starred ? "#dff6ff" : "#f4f6fb", -4);
  layer(62, color, -4);
  const shade = brush.createLinearGradient(0, -66, 0, 58);
  shade.addColorStop(0, "rgba(255, 255, 255, 0.3)");
  shade.addColorStop(0.5, "rgba(255, 255, 255, 0)");
  shade.addColorStop(1, "rgba(0, 0, 0, 0.4)");
  layer(62, shade, -4);
  if (kind !== STRUM) {
    const radius = starred ? 26 : 34;
    layer(radius + 7, "#05060a", -4);
    layer(radius, kind === HOPO ? "#ffffff" : "#08090d", -4);
  }
  return sprite;
}

function star(brush, radius, y) {
  for (let corner = 0; corner < 10; corner++) {
    const angle = (Math.PI * corner) / 5 - Math.PI / 2;
    const reach = radius * (corner % 2 ? 0.66 : 1.1);
    brush.lineTo(reach * Math.cos(angle), y + reach * Math.sin(angle));
  }
}

function drawBar(color, kind) {
  const sprite = new OffscreenCanvas(512, 40);
  const brush = sprite.getContext("2d");
  const layer = (inset, style) => {
    brush.beginPath();
    brush.roundRect(inset, inset, 512 - 2 * inset, 40 - 2 * inset, 20 - inset);
    brush.fillStyle = style;
    brush.fill();
  };
  layer(0, "#05060a");
  layer(3, "#f4f6fb");
  layer(6, color);
  if (kind !== STRUM) layer(13, kind === HOPO ? "#ffffff" : "#08090d");
  return sprite;
}

// Seek bar: how dense the notes are, where sections begin, and where there are problems.

const strip = element("strip");
const seekBar = element("seek");

function drawStrip() {
  fitCanvas(strip);
  const { clientWidth: width, clientHeight: height } = strip;
  const brush = strip.getContext("2d");
  const bins = new Array(Math.round(clamp(song.duration, 1, Math.max(width / 3, 1)))).fill(0); // of 1 s where there is room
  for (const time of track.times) bins[clamp(Math.floor((time / song.duration) * bins.length), 0, bins.length - 1)]++;
  const most = Math.max(...bins);
  brush.fillStyle = "#3d7ea6";
  bins.forEach((count, i) => {
    const tall = (height - 10) * (count / most);
    brush.fillRect((i * width) / bins.length, height - tall, width / bins.length - 1, tall);
  });
  brush.fillStyle = "rgba(255, 255, 255, 0.35)";
  for (const time of song.sections.times) brush.fillRect((time / song.duration) * width, 0, 1, height);
  brush.fillStyle = "#ffb703";
  for (const { seconds } of problemsHere()) {
    if (seconds === null) continue;
    const x = (seconds / song.duration) * width;
    brush.beginPath();
    brush.moveTo(x - 5, 0);
    brush.lineTo(x + 5, 0);
    brush.lineTo(x, 9);
    brush.fill();
  }
}

function seekToPointer(event) {
  const { left, width } = seekBar.getBoundingClientRect();
  seek(((event.clientX - left) / width) * song.duration);
}

seekBar.addEventListener("pointerdown", (event) => {
  seekBar.setPointerCapture(event.pointerId);
  seekToPointer(event);
});
seekBar.addEventListener("pointermove", (event) => {
  if (seekBar.hasPointerCapture(event.pointerId)) seekToPointer(event);
});

// Controls

const MOST_PROBLEMS = 500;

function problemsHere() {
  const here = (problem, key) => problem[key] === null || problem[key] === track[key];
  return song.problems.filter((problem) => here(problem, "instrument") && here(problem, "difficulty"));
}

function listProblems() {
  const here = problemsHere();
  element("problems-title").textContent = `Problems (${here.length} of ${song.problems.length})`;
  const items = here.slice(0, MOST_PROBLEMS).map(({ seconds, text }) => {
    const item = document.createElement("li");
    const words = item.appendChild(document.createElement(seconds === null ? "span" : "button"));
    words.textContent = text;
    if (seconds !== null) words.addEventListener("click", () => seek(seconds));
    return item;
  });
  element("problems").replaceChildren(...items);
}

function fillSelect(select, names, selected) {
  select.replaceChildren(...names.map((name) => new Option(name, name, false, name === selected)));
}

const instruments = [...new Set(song.tracks.map(({ instrument }) => instrument))];
const tracksOf = (instrument) => song.tracks.filter((other) => other.instrument === instrument);

function showTrack(chosen) {
  track = chosen;
  fillSelect(element("instrument"), instruments, track.instrument);
  fillSelect(element("difficulty"), tracksOf(track.instrument).map(({ difficulty }) => difficulty), track.difficulty);
  listProblems();
  drawStrip();
  clicks.restart();
  stale = true;
}

function showDifficulty(difficulty) {
  showTrack(tracksOf(track.instrument).find((other) => other.difficulty === difficulty));
}

// The same difficulty of another instrument, or else its hardest.
function showInstrument(instrument) {
  const tracks = tracksOf(instrument);
  showTrack(tracks.find(({ difficulty }) => difficulty === track.difficulty) ?? tracks.at(-1));
}

const nextOf = (values, value) => values[(values.indexOf(value) + 1) % values.length];

function setRange(id, value) {
  const input = element(id);
  input.value = value;
  document.querySelector(`output[for=${id}]`).textContent = `${Number(input.value).toFixed(2)}×`;
  return Number(input.value);
}

function setScroll(value) {
  scroll = setRange("scroll", value);
  layOut();
}

function setSpeed(value) {
  clock.rate = setRange("speed", value);
  clicks.restart();
}

function setClicks(kind, on) {
  element(kind).checked = on;
  clicks.enable(kind, on);
}

function seek(seconds) {
  clock.seek(seconds);
  clicks.restart();
  stale = true;
}

function togglePlay() {
  if (clock.playing) clock.pause();
  else clock.play();
  clicks.wake();
  clicks.restart();
  stale = true;
}

const KEYS = {
  " ": togglePlay,
  ArrowLeft: () => seek(clock.time - 5),
  ArrowRight: () => seek(clock.time + 5),
  Home: () => seek(0),
  End: () => seek(song.duration),
  ArrowUp: () => setScroll(scroll + 0.1),
  ArrowDown: () => setScroll(scroll - 0.1),
  d: () => showTrack(nextOf(tracksOf(track.instrument), track)),
  i: () => showInstrument(nextOf(instruments, track.instrument)),
  m: () => setClicks("metronome", !clicks.metronome),
  h: () => setClicks("hits", !clicks.hits),
};

document.addEventListener("keydown", (event) => {
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (!Object.hasOwn(KEYS, key) || event.ctrlKey || event.metaKey || event.altKey) return;
  // Who has moved to a control with the keyboard works that control.
  if (event.target.matches("select, input[type=range]")) return;
  if (key === " " && event.target.matches("button, input, summary")) return;
  event.preventDefault();
  KEYS[key]();
});

// What was worked with the pointer gives the keyboard back.
let byPointer = false;
document.addEventListener("pointerdown", () => (byPointer = true), true);
document.addEventListener("keydown", () => (byPointer = false), true);
for (const kind of ["click", "change"]) {
  document.addEventListener(kind, (event) => byPointer && event.target.blur());
}

element("play").addEventListener("click", togglePlay);
element("instrument").addEventListener("change", (event) => showInstrument(event.target.value));
element("difficulty").addEventListener("change", (event) => showDifficulty(event.target.value));
element("scroll").addEventListener("input", (event) => setScroll(event.target.value));
element("speed").addEventListener("input", (event) => setSpeed(event.target.value));
for (const kind of ["metronome", "hits"]) {
  element(kind).addEventListener("change", (event) => setClicks(kind, event.target.checked));
}

// Frames

function setText(id, text) {
  if (element(id).textContent !== text) element(id).textContent = text;
}

function clockText(seconds) {
  const tenths = Math.floor(seconds * 10 + 1e-6);
  const minutes = Math.floor(tenths / 600);
  return `${minutes}:${((tenths % 600) / 10).toFixed(1).padStart(4, "0")}`;
}

function showTime(time) {
  const section = firstAfter(song.sections.times, time) - 1;
  setText("section", song.sections.names[section] ?? "");
  setText("clock", `${clockText(time)} / ${clockText(song.duration)}`);
  setText("play", clock.playing ? "Pause" : "Play");
  element("playhead").style.left = `${(100 * time) / song.duration}%`;
  seekBar.setAttribute("aria-valuenow", time.toFixed(1));
}

function animate() {
  if (clock.playing || stale) {
    stale = false;
    showTime(draw().time);
    if (clock.playing) clicks.schedule(frame.time);
    if (clock.playing && frame.time >= song.duration) togglePlay();
  }
  requestAnimationFrame(animate);
}

document.title = song.name ? `${song.name} – Tab Hero` : "Tab Hero";
element("name").textContent = song.name;
const credits = [song.artist, song.charter && `charted by ${song.charter}`];
element("credits").textContent = credits.filter(Boolean).join(" · ");
seekBar.setAttribute("aria-valuemax", song.duration.toFixed(1));
new ResizeObserver(() => {
  fitCanvas(canvas);
  layOut();
  drawStrip();
}).observe(canvas);
fitCanvas(canvas);
showTrack(tracksOf(instruments[0]).at(-1));
setScroll(1);
setSpeed(1);
animate();

window.tabhero = {
  get time() {
    return clock.time;
  },
  get playing() {
    return clock.playing;
  },
  get track() {
    return track;
  },
  get frame() {
    return frame;
  },
  get strikeY() {
    return view.strikeY;
  },
  duration: song.duration,
  project,
  noteY: (index) => project(track.times[index]),
  seek,
  draw,
  audio,
};
