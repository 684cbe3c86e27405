// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vm;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * Reads the guest's console: picks the lines {@code ioasis: KEY=VALUE} that init writes and checks
 * them against what init can write. The guest is not trusted: each kind of line has a pattern, each
 * fact is taken once and may only be repeated as it was (after a reboot), and what is kept is
 * bounded. Lines come on one thread; {@link #report} may be called on any.
 */
final class GuestConsole {
    private static final int LAST_LINES = 40;

    /** More IOMMUs than a topology has, and more steps than init has. */
    private static final int LIST_LIMIT = 64;

    /** More than the facts about as many disks as a bus has room for. */
    private static final int FACT_LIMIT = 256;

    private static final Pattern LINE =
            Pattern.compile("(?:\\[ {0,8}(\\d{1,8})\\.(\\d{6})] )?ioasis: ([a-z0-9.]{1,32})=(.*)");
    private static final String MARK = "ioasis: ";

    /**
     * What a firmware does with the screen before the kernel's first line, and on that line
     * (ECMA-48, 5.4, control sequences); lines have a question mark where it wrote an escape.
     */
    private static final Pattern SCREEN = Pattern.compile("\\A(?:\\?\\[[0-?]{0,16}[@-~]){1,64}");

    /** As what ACPI knows a virtio-mmio device (Linux, drivers/virtio/virtio_mmio.c). */
    private static final String ACPI_VIRTIO_MMIO = "LNRO0005";

    private static final String PCI = "[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\\.[0-7]";
    private static final Map<String, Pattern> DEVICE_FACTS =
            Map.of(
                    "pci", Pattern.compile(PCI),
                    "group", Pattern.compile("none|\\d{1,6}"),
                    "type", Pattern.compile("[A-Za-z-]{1,16}"),
                    "reserved",
                            Pattern.compile(
                                    "(?:0x[0-9a-f]{16}-0x[0-9a-f]{16}-[a-z-]{1,24};){0,16}"));
    private static final String DISK_PREFIX = "disk.";
    private static final Pattern DEVICE_KEY =
            Pattern.compile(
                    "(disk\\.(?:seed|fs|result|own[1-9][0-9]?)|net)\\.(pci|group|type|reserved)");
    private static final Pattern IOMMU =
            Pattern.compile(
                    "("
                            + PCI
                            + "|[0-9a-f]{1,16}\\.virtio_mmio|"
                            + ACPI_VIRTIO_MMIO
                            + ":[0-9a-f]{2,8}) ([A-Za-z0-9_-]{1,32})");

    // What Linux says last, whatever it is told to keep to itself (kernel/panic.c,
    // kernel/reboot.c).
    private static final Pattern PANIC =
            Pattern.compile("(?:\\[[ 0-9.]{1,20}] )?Kernel panic - not syncing: (.{0,400})");

    // Which comes first differs with what went wrong (show_fault_oops, die_addr and __die_header of
    // arch/x86, die of arch/arm64).
    private static final Pattern OOPS =
            Pattern.compile(
                    "(?:\\[[ 0-9.]{1,20}] )?((?:BUG: |Oops: |Internal error: |Unable to handle kernel ).{0,400})");

    private static final Pattern POWERED_OFF =
            Pattern.compile("(?:\\[[ 0-9.]{1,20}] )?reboot: Power down");
    private static final Pattern KERNEL = Pattern.compile("[A-Za-z0-9._+~-]{1,64}");
    private static final Pattern STEP = Pattern.compile("[a-z]{1,16}");
    private static final Pattern HASH = Pattern.compile("[0-9a-f]{64}");
    private static final Pattern CODE = Pattern.compile("\\d{1,3}");
    private static final Pattern ERROR = Pattern.compile("[a-z]{1,16}: .{0,400}");
    private static final Pattern END = Pattern.compile("ok");

    private record Begun(String name, long micros) {}

    private final Map<String, String> facts = new LinkedHashMap<>();
    private final Map<String, String> iommus = new LinkedHashMap<>();
    private final List<Begun> steps = new ArrayList<>();
    private final List<String> hashes = new ArrayList<>();
    private final Deque<String> lastLines = new ArrayDeque<>();
    private @Nullable String failure;
    private @Nullable String panic;
    private @Nullable String oops;
    private boolean isPoweredOff;
    private boolean isFinished;
    private long endMicros;
    private long malformed;

    /** Takes the next line of the console. */
    public synchronized GuestEvent accept(String written) {
        String line = SCREEN.matcher(written).replaceFirst("");
        if (lastLines.size() == LAST_LINES) {
            lastLines.removeFirst();
        }
        lastLines.addLast(line);
        Matcher matcher = LINE.matcher(line);
        if (!matcher.matches()) {
            noteEnd(line);
            return line.contains(MARK) ? refuse(line) : new GuestEvent.Text(line);
        }
        long micros =
                matcher.group(1) == null
                        ? 0
                        : Long.parseLong(matcher.group(1)) * 1_000_000
                                + Long.parseLong(matcher.group(2));
        GuestEvent event = understand(matcher.group(3), matcher.group(4), micros);
        return event == null ? refuse(line) : event;
    }

    private void noteEnd(String line) {
        Matcher panicked = PANIC.matcher(line);
        if (panicked.matches() && panic == null) {
            panic = panicked.group(1);
        }
        Matcher oopsed = OOPS.matcher(line);
        if (oops == null && oopsed.matches()) {
            oops = oopsed.group(1);
        }
        isPoweredOff |= POWERED_OFF.matcher(line).matches();
    }

    private GuestEvent refuse(String line) {
        malformed++;
        return new GuestEvent.Malformed(line);
    }

    /** Null for what init cannot have written, and for whatever comes after the end. */
    private @Nullable GuestEvent understand(String key, String value, long micros) {
        if (isFinished || failure != null) {
            return null;
        }
        return switch (key) {
            case "step" -> {
                if (!STEP.matcher(value).matches() || steps.size() == LIST_LIMIT) {
                    yield null;
                }
                steps.add(new Begun(value, micros));
                yield new GuestEvent.Step(value, micros);
            }
            case "iommu" -> {
                Matcher iommu = IOMMU.matcher(value);
                if (!iommu.matches()
                        || !isNewOrEqual(iommus, iommu.group(1), iommu.group(2), LIST_LIMIT)) {
                    yield null;
                }
                yield new GuestEvent.Fact(key, value);
            }
            case "hash" -> {
                if (!HASH.matcher(value).matches() || hashes.size() == LIST_LIMIT) {
                    yield null;
                }
                hashes.add(value);
                yield new GuestEvent.Fact(key, value);
            }
            case "error" -> {
                if (!ERROR.matcher(value).matches()) {
                    yield null;
                }
                failure = value;
                yield new GuestEvent.Failed(value);
            }
            case "end" -> {
                if (!END.matcher(value).matches()) {
                    yield null;
                }
                isFinished = true;
                endMicros = micros;
                yield new GuestEvent.Finished(micros);
            }
            case "kernel" -> fact(key, value, KERNEL);
            case "status" -> fact(key, value, CODE);
            default -> {
                Matcher device = DEVICE_KEY.matcher(key);
                Pattern pattern = device.matches() ? DEVICE_FACTS.get(device.group(2)) : null;
                yield pattern == null ? null : fact(key, value, pattern);
            }
        };
    }

    private @Nullable GuestEvent fact(String key, String value, Pattern pattern) {
        if (!pattern.matcher(value).matches() || !isNewOrEqual(facts, key, value, FACT_LIMIT)) {
            return null;
        }
        return new GuestEvent.Fact(key, value);
    }

    private static boolean isNewOrEqual(
            Map<String, String> known, String key, String value, int limit) {
        String before = known.get(key);
        if (before == null && known.size() < limit) {
            known.put(key, value);
            return true;
        }
        return value.equals(before);
    }

    /** All that was said so far. */
    public synchronized GuestReport report() {
        List<GuestReport.Step> timed = new ArrayList<>();
        for (int i = 0; i < steps.size(); i++) {
            Begun step = steps.get(i);
            long end = i + 1 < steps.size() ? steps.get(i + 1).micros() : endMicros;
            timed.add(
                    new GuestReport.Step(
                            step.name(), step.micros(), Math.max(0, end - step.micros())));
        }
        Map<String, GuestReport.Device> devices = new LinkedHashMap<>();
        for (String key : facts.keySet()) {
            Matcher device = DEVICE_KEY.matcher(key);
            if (device.matches() && device.group(2).equals("pci")) {
                String prefix = device.group(1) + ".";
                String role = device.group(1);
                devices.put(
                        role.startsWith(DISK_PREFIX) ? role.substring(DISK_PREFIX.length()) : role,
                        new GuestReport.Device(
                                facts.getOrDefault(prefix + "pci", ""),
                                facts.getOrDefault(prefix + "group", ""),
                                facts.getOrDefault(prefix + "type", ""),
                                facts.getOrDefault(prefix + "reserved", "")));
            }
        }
        return new GuestReport(
                Optional.ofNullable(facts.get("kernel")),
                iommus,
                devices,
                timed,
                hashes,
                Optional.ofNullable(facts.get("status")).map(Integer::valueOf),
                Optional.ofNullable(failure),
                Optional.ofNullable(panic),
                Optional.ofNullable(oops),
                isPoweredOff,
                isFinished,
                malformed,
                List.copyOf(lastLines));
    }
}
