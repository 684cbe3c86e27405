// SPDX-License-Identifier: Apache-2.0
package org.ioasis.config;

import java.io.IOException;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.ioasis.config.Draft.DeviceDraft;
import org.ioasis.config.Draft.Ids;
import org.ioasis.config.Draft.IommuDraft;
import org.ioasis.config.Draft.Kind;
import org.ioasis.config.Draft.MachineDraft;
import org.ioasis.config.Draft.Present;
import org.ioasis.config.Problem.Place;
import org.ioasis.iommu.EndpointProperties;
import org.ioasis.iommu.IommuOptions;
import org.ioasis.live.TraceConfig;
import org.ioasis.live.Unsigned;
import org.ioasis.machine.Machine;
import org.ioasis.memory.GuestMemory;
import org.ioasis.virtio.blk.BlkBlocks;
import org.ioasis.virtio.blk.BlkErasing;
import org.ioasis.virtio.blk.BlkSettings;
import org.jspecify.annotations.Nullable;

/**
 * The simple case from the command line: one machine, one IOMMU, the devices behind it. One thread.
 */
public final class FlagConfig {
    private static final Place PLACE = Place.COMMAND_LINE;

    private final List<Problem> problems = new ArrayList<>();

    private final Path iommu;
    private List<String> disks = List.of();
    private List<String> rngs = List.of();
    private List<String> present = List.of();
    private EndpointProperties usualEndpoint = Machine.X86_ENDPOINT;
    private @Nullable Path viot;
    private @Nullable Path control;
    private @Nullable TraceConfig trace;

    private FlagConfig(Path iommu) {
        this.iommu = iommu;
    }

    /** With an IOMMU at this socket, and nothing behind it yet. */
    public static FlagConfig iommu(Path socket) {
        return new FlagConfig(socket);
    }

    /**
     * @param options each {@code SOCKET,file=FILE} and more; a comma inside of a value is written
     *     twice
     */
    public FlagConfig disks(List<String> options) {
        disks = List.copyOf(options);
        return this;
    }

    /**
     * @param options each {@code SOCKET} and more
     */
    public FlagConfig rngs(List<String> options) {
        rngs = List.copyOf(options);
        return this;
    }

    /**
     * Endpoints whose accesses do not come through us.
     *
     * @param options each {@code ID} or {@code ID-ID}
     */
    public FlagConfig present(List<String> options) {
        present = List.copyOf(options);
        return this;
    }

    /**
     * The doorbells of the machine's interrupt controller.
     *
     * @param option {@code FIRST-LAST}, {@code none} or a device tree blob; null for those of x86
     */
    public FlagConfig msi(@Nullable String option) {
        if (option != null) {
            try {
                usualEndpoint = Doorbells.endpoint(option, Path.of(""));
            } catch (IOException e) {
                problems.add(new Problem(PLACE, "--msi: " + e.getMessage()));
            }
        }
        return this;
    }

    /** Where its table is written; null for the usual place. */
    public FlagConfig viot(@Nullable Path file) {
        viot = file;
        return this;
    }

    /** Where the server is asked; null for the usual place. */
    public FlagConfig control(@Nullable Path socket) {
        control = socket;
        return this;
    }

    /** Its trace; null for none. */
    public FlagConfig trace(@Nullable TraceConfig wanted) {
        trace = wanted;
        return this;
    }

    /**
     * Everything checked and filled in.
     *
     * @throws ConfigException with everything that is wrong
     */
    public ServeConfig resolve() throws ConfigException {
        List<DeviceDraft> devices = new ArrayList<>();
        disks.forEach(text -> add(devices, "--blk " + text, text, true));
        rngs.forEach(text -> add(devices, "--rng " + text, text, false));
        List<Ids> ids = new ArrayList<>();
        for (String text : present) {
            Ids parsed = Ids.parse(text);
            if (parsed == null) {
                problems.add(new Problem(PLACE, "--present: not ID or ID-ID: " + text));
            } else {
                ids.add(parsed);
            }
        }
        IommuDraft only =
                new IommuDraft(
                        PLACE,
                        "iommu",
                        iommu,
                        0,
                        IommuOptions.DEFAULT,
                        devices,
                        new Present(ids, usualEndpoint),
                        List.of());
        MachineDraft machine =
                new MachineDraft(
                        PLACE, "machine", 0, GuestMemory.REGION_LIMIT, viot, List.of(only));
        ServeConfig config =
                new ServeConfig(
                        new Draft(problems).resolve(List.of(machine), control), control, trace);
        if (!problems.isEmpty()) {
            throw new ConfigException("", problems);
        }
        return config;
    }

    private void add(List<DeviceDraft> devices, String option, String text, boolean isDisk) {
        Words words = new Words(option, text);
        long endpoint = words.number("endpoint", Draft.U32_MAX, -1);
        long alias = words.number("alias", Draft.U32_MAX, -1);
        Kind kind = isDisk ? blk(words) : new Kind.Rng(words.flag("rogue"));
        words.finish();
        Path socket = words.path("");
        if (socket == null || kind == null) {
            words.problem(isDisk ? "needs a socket and file=FILE" : "needs a socket");
        } else {
            devices.add(
                    new DeviceDraft(
                            PLACE,
                            null,
                            socket,
                            endpoint,
                            alias < 0 ? List.of() : List.of(new Ids(alias, alias)),
                            0,
                            usualEndpoint,
                            kind));
        }
    }

    private static Kind.@Nullable Blk blk(Words words) {
        Path file = words.path("file");
        String serial = words.text("serial");
        boolean isWritable = !words.flag("readonly");
        boolean isLocked = !words.flag("nolock");
        BlkSettings settings = BlkSettings.of("");
        long queues = words.number("num_queues", BlkSettings.QUEUE_LIMIT, 1);
        if (queues == 0) {
            words.problem("num_queues must be at least 1");
        } else {
            settings = settings.withQueues((int) queues);
        }
        long blockSize =
                words.number("blk_size", BlkBlocks.OF_4096.size(), BlkBlocks.OF_512.size());
        if (blockSize == BlkBlocks.OF_4096.size()) {
            settings = settings.withBlocks(BlkBlocks.OF_4096);
        } else if (blockSize != BlkBlocks.OF_512.size()) {
            words.problem("blk_size must be 512 or 4096, not " + blockSize);
        }
        if (words.flag("nodiscard")) {
            settings = settings.withErasing(BlkErasing.NO_DISCARD);
        }
        return file == null ? null : new Kind.Blk(file, isWritable, isLocked, serial, settings);
    }

    /**
     * The parts of one option: its first, whose key is empty, then {@code KEY=VALUE} or {@code
     * KEY}. What is asked for is known; {@link #finish} reports the others.
     */
    private final class Words {
        private final String option;
        private final Map<String, String> values = new LinkedHashMap<>();
        private final List<String> known = new ArrayList<>();

        Words(String option, String text) {
            this.option = option;
            // Protected first, so that a doubled comma never looks like a border.
            for (String part : text.replace(",,", "\0").split(",", -1)) {
                String word = part.replace('\0', ',');
                int equals = word.indexOf('=');
                if (values.isEmpty()) {
                    values.put("", word);
                } else if (values.put(equals < 0 ? word : word.substring(0, equals), word)
                        != null) {
                    problem("\"" + word + "\" comes after another one");
                }
            }
        }

        void problem(String text) {
            problems.add(new Problem(PLACE, option + ": " + text));
        }

        /** The value of {@code key}, or null. */
        @Nullable String text(String key) {
            String word = values.get(key);
            if (!key.isEmpty()) {
                known.add(key + "=");
            }
            if (word == null || (!key.isEmpty() && !word.startsWith(key + "="))) {
                return null;
            }
            String value = key.isEmpty() ? word : word.substring(key.length() + 1);
            values.remove(key);
            if (value.isEmpty()) {
                problem(key.isEmpty() ? "no socket" : key + " is empty");
                return null;
            }
            return value;
        }

        boolean flag(String key) {
            known.add(key);
            return values.remove(key, key);
        }

        @Nullable Path path(String key) {
            String value = text(key);
            try {
                return value == null ? null : Path.of(value);
            } catch (InvalidPathException e) {
                problem("no path: " + value);
                return null;
            }
        }

        /** A number of 0 to {@code max}. */
        long number(String key, long max, long otherwise) {
            String value = text(key);
            if (value == null) {
                return otherwise;
            }
            try {
                return Unsigned.parse(value, max);
            } catch (NumberFormatException e) {
                problem("%s must be a number up to %d, not \"%s\"".formatted(key, max, value));
                return otherwise;
            }
        }

        /** Reports what nobody asked for. */
        void finish() {
            values.forEach((key, word) -> {
                if (!key.isEmpty()) {
                    problem(
                            "\"%s\" is not known; known are %s"
                                    .formatted(word, String.join(", ", known)));
                }
            });
        }
    }
}
