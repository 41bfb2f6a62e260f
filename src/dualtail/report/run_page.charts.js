"use strict";
// What both plots share: colors, axes, sharp canvases.
const charts = (() => {
  const VIRIDIS = ["#440154", "#472d7b", "#3b528b", "#2c728e", "#21918c", "#28ae80", "#5ec962", "#addc30", "#fde725"];
  const PUOR = ["#542788", "#8073ac", "#b2abd2", "#d8daeb", "#f7f7f7", "#fee0b6", "#fdb863", "#e08214", "#b35806"];

  const channels = (hex) => [1, 3, 5].map((k) => parseInt(hex.slice(k, k + 2), 16));

  // The color at a share of a scale, and black or white on it, whichever reads better.
  const colorAt = (scale, share) => {
    const at = Math.min(1, Math.max(0, share)) * (scale.length - 1);
    const low = Math.min(scale.length - 2, Math.floor(at)), part = at - low;
    const one = channels(scale[low]), two = channels(scale[low + 1]);
    const rgb = one.map((c, k) => Math.round(c + part * (two[k] - c)));
    const light = rgb.map((c) => (c / 255) ** 2.2);
    const luminance = 0.2126 * light[0] + 0.7152 * light[1] + 0.0722 * light[2];
    return { back: `rgb(${rgb.join(",")})`, ink: luminance > 0.18 ? "#000" : "#fff" };
  };

  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  // A canvas as sharp as the screen; sizes in CSS pixels.
  const prepare = (canvas) => {
    const ratio = window.devicePixelRatio || 1;
    const width = canvas.clientWidth, height = canvas.clientHeight;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    const pen = canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    pen.font = "12px system-ui, sans-serif";
    return { pen, width, height, left: 52, right: width - 12, top: 14, bottom: height - 42 };
  };

  const linearTicks = (low, high) => {
    const rough = (high - low) / 5, power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((k) => k * power).find((s) => s >= rough);
    const found = [];
    for (let at = Math.ceil(low / step) * step; at <= high + 1e-9; at += step) found.push(at);
    return found;
  };

  const logTicks = (low, high) => {
    const found = [];
    const wide = high - low > 2.2;
    for (let power = Math.floor(low); power <= high; power += 1) {
      for (const k of wide ? [1] : [1, 2, 5]) {
        const at = Math.log10(k) + power;
        if (at >= low - 1e-9 && at <= high + 1e-9) found.push(at);
      }
    }
    return found;
  };

  const short = (number) => {
    if (number === 0) return "0";
    const size = Math.abs(number);
    if (size >= 10000) return number.toLocaleString("en", { maximumFractionDigits: 0 });
    if (size < 0.001) return number.toExponential(0);
    return String(Number(number.toPrecision(3)));
  };

  // An axis of values, or of their logarithms.
  const axis = (values, log, label) => {
    const finite = values.filter((v) => Number.isFinite(v));
    let low = finite.reduce((a, b) => Math.min(a, b), Infinity);
    let high = finite.reduce((a, b) => Math.max(a, b), -Infinity);
    if (!finite.length) [low, high] = [0, 1];
    const pad = (high - low || 1) * 0.05;
    return { low: low - pad, high: high + pad, log, label };
  };

  const frame = (area, across, up) => {
    const { pen, left, right, top, bottom } = area;
    const x = (v) => left + ((v - across.low) / (across.high - across.low)) * (right - left);
    const y = (v) => bottom - ((v - up.low) / (up.high - up.low)) * (bottom - top);
    const ticks = (a) => (a.log ? logTicks(a.low, a.high) : linearTicks(a.low, a.high));
    const text = (a, v) => short(a.log ? 10 ** v : Number(v.toFixed(9))).replace("-", "−");
    pen.strokeStyle = color("--line");
    pen.fillStyle = color("--quiet");
    pen.lineWidth = 1;
    pen.textAlign = "center";
    pen.textBaseline = "top";
    for (const v of across.bare ? [] : ticks(across)) {
      pen.beginPath();
      pen.moveTo(x(v), bottom);
      pen.lineTo(x(v), bottom + 4);
      pen.stroke();
      pen.fillText(text(across, v), x(v), bottom + 6);
    }
    pen.fillText(across.label, (left + right) / 2, bottom + 23);
    pen.textAlign = "right";
    pen.textBaseline = "middle";
    for (const v of ticks(up)) {
      pen.beginPath();
      pen.moveTo(left, y(v));
      pen.lineTo(right, y(v));
      pen.stroke();
      pen.fillText(text(up, v), left - 6, y(v));
    }
    if (up.low < 0 && up.high > 0) {
      pen.strokeStyle = color("--quiet");
      pen.beginPath();
      pen.moveTo(left, y(0));
      pen.lineTo(right, y(0));
      pen.stroke();
    }
    pen.save();
    pen.translate(13, (top + bottom) / 2);
    pen.rotate(-Math.PI / 2);
    pen.textAlign = "center";
    pen.fillText(up.label, 0, 0);
    pen.restore();
    return { x, y };
  };

  // Group k of three: a shape of its own, so that color is not needed.
  const shape = (pen, k, x, y, size) => {
    pen.beginPath();
    if (k === 0) pen.arc(x, y, size, 0, 2 * Math.PI);
    else if (k === 1) pen.rect(x - size * 0.9, y - size * 0.9, size * 1.8, size * 1.8);
    else {
      pen.moveTo(x, y - size * 1.2);
      pen.lineTo(x + size * 1.15, y + size * 0.85);
      pen.lineTo(x - size * 1.15, y + size * 0.85);
      pen.closePath();
    }
  };

  return { VIRIDIS, PUOR, colorAt, color, prepare, axis, frame, shape, short };
})();
