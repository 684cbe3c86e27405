package org.ioasis.config;

import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.ioasis.config.Draft.BlkDraft;
import org.ioasis.config.Draft.IommuDraft;
import org.ioasis.config.Draft.MachineDraft;
import org.ioasis.config.Problem.Place;
import org.ioasis.config.ServeConfig.TraceConfig;
import org.ioasis.iommu.IommuOptions;
import org.ioasis.machine.Machine;
import org.jspecify.annotations.Nullable;

/** The simple case from the command line: one machine, one IOMMU, its disks. Any thread. */
public final class FlagConfig {
    private static final Place PLACE = Place.COMMAND_LINE;

    private FlagConfig() {}

    /**
     * Reads the options.
     *
     * @param disks each {@code SOCKET,file=FILE[,endpoint=ID][,serial=TEXT][,readonly]}; a comma
     *     inside of a value is written twice
     * @throws ConfigException with everything that is wrong
     */
    public static ServeConfig of(
            Path iommu,
            List<String> disks,
            @Nullable Path viot,
            @Nullable Path control,
            @Nullable TraceConfig trace)
            throws ConfigException {
        List<Problem> problems = new ArrayList<>();
        List<BlkDraft> drafts = new ArrayList<>();
        for (String disk : disks) {
            BlkDraft draft = disk(disk, problems);
            if (draft != null) {
                drafts.add(draft);
            }
        }
        MachineDraft machine =
                new MachineDraft(
                        PLACE,
                        "machine",
                        0,
                        viot,
                        List.of(
                                new IommuDraft(
                                        PLACE,
                                        "iommu",
                                        iommu,
                                        0,
                                        IommuOptions.DEFAULT,
                                        drafts,
                                        List.of())));
        ServeConfig config =
                new ServeConfig(
                        new Draft(problems).resolve(List.of(machine), control), control, trace);
        if (!problems.isEmpty()) {
            throw new ConfigException("", problems);
        }
        return config;
    }

    private static @Nullable BlkDraft disk(String text, List<Problem> problems) {
        // Protected first, so that a doubled comma never looks like a border.
        String[] parts = text.replace(",,", "\0").split(",", -1);
        Path socket = null;
        Path file = null;
        String serial = null;
        long endpoint = -1;
        boolean isWritable = true;
        for (int i = 0; i < parts.length; i++) {
            String part = parts[i].replace('\0', ',');
            int equals = part.indexOf('=');
            String key = equals < 0 ? part : part.substring(0, equals);
            String value = equals < 0 ? "" : part.substring(equals + 1);
            try {
                if (i == 0) {
                    socket = Path.of(part);
                } else if (key.equals("file") && !value.isEmpty()) {
                    file = Path.of(value);
                } else if (key.equals("endpoint")) {
                    endpoint =
                            Integer.toUnsignedLong(
                                    Integer.parseUnsignedInt(digits(value), radix(value)));
                } else if (key.equals("serial") && !value.isEmpty()) {
                    serial = value;
                } else if (part.equals("readonly")) {
                    isWritable = false;
                } else {
                    problems.add(
                            new Problem(
                                    PLACE,
                                    "--blk %s: \"%s\" is not file=FILE, endpoint=ID, serial=TEXT or readonly"
                                            .formatted(text, part)));
                }
            } catch (NumberFormatException e) {
                problems.add(
                        new Problem(
                                PLACE,
                                "--blk %s: endpoint \"%s\" is not a number of 32 bits"
                                        .formatted(text, value)));
            } catch (InvalidPathException e) {
                problems.add(new Problem(PLACE, "--blk %s: no path: %s".formatted(text, part)));
            }
        }
        if (socket == null || socket.toString().isEmpty() || file == null) {
            problems.add(
                    new Problem(PLACE, "--blk %s: needs a socket and file=FILE".formatted(text)));
            return null;
        }
        return new BlkDraft(
                PLACE, null, socket, file, isWritable, serial, endpoint, 0, Machine.X86_ENDPOINT);
    }

    private static String digits(String number) {
        return radix(number) == 16 ? number.substring(2) : number;
    }

    private static int radix(String number) {
        return number.startsWith("0x") ? 16 : 10;
    }
}
