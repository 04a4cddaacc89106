// What the process itself costs: memory, processor time, and how late its event loop runs.

import { monitorEventLoopDelay } from "node:perf_hooks";
import type { RealMeter } from "./meter.ts";

/** Measures until stopped; the gauges are refreshed whenever the meter is rendered. */
export function processGauges(meter: RealMeter): { stop(): void } {
  const rss = meter.gauge("sheaf_process_rss_bytes", "Memory that the process holds.");
  const heap = meter.gauge("sheaf_process_heap_used_bytes", "JavaScript heap in use.");
  const heapTotal = meter.gauge("sheaf_process_heap_total_bytes", "JavaScript heap reserved.");
  const cpu = meter.gauge("sheaf_process_cpu_seconds", "Processor time used since start, user and system.");
  const uptime = meter.gauge("sheaf_process_uptime_seconds", "Time since the process started.");
  const lateHelp = "How late the event loop ran since the last scrape.";
  const late50 = meter.gauge("sheaf_process_event_loop_delay_seconds", lateHelp, { quantile: "0.5" });
  const late99 = meter.gauge("sheaf_process_event_loop_delay_seconds", lateHelp, { quantile: "0.99" });
  const late100 = meter.gauge("sheaf_process_event_loop_delay_seconds", lateHelp, { quantile: "1" });
  const delay = monitorEventLoopDelay({ resolution: 20 });
  delay.enable();
  meter.beforeRender(() => {
    const memory = process.memoryUsage();
    rss.set(memory.rss);
    heap.set(memory.heapUsed);
    heapTotal.set(memory.heapTotal);
    const used = process.cpuUsage();
    cpu.set((used.user + used.system) / 1e6);
    uptime.set(process.uptime());
    if (delay.count === 0) return;
    late50.set(delay.percentile(50) / 1e9);
    late99.set(delay.percentile(99) / 1e9);
    late100.set(delay.max / 1e9);
    delay.reset();
  });
  return { stop: () => void delay.disable() };
}
