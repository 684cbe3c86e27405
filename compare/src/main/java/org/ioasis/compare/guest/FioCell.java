// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare.guest;

import java.util.List;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/**
 * One kind of I/O that is measured, and how fio (fio(1)) is asked for it. Immutable.
 *
 * @param name short, for tables
 * @param pattern fio's {@code --rw}
 * @param blockBytes of one I/O
 * @param depth I/Os at a time
 */
record FioCell(String name, String pattern, int blockBytes, int depth) {
    private static final int SMALL = 4 << 10;
    private static final int LARGE = 64 << 10;

    static final List<FioCell> ALL =
            List.of(
                    new FioCell("rr1", "randread", SMALL, 1),
                    new FioCell("rr16", "randread", SMALL, 16),
                    new FioCell("rw1", "randwrite", SMALL, 1),
                    new FioCell("rw16", "randwrite", SMALL, 16),
                    new FioCell("sr", "read", LARGE, 4),
                    new FioCell("sw", "write", LARGE, 4));

    /** What init and the shell of the guest say of a cell, before and after it. */
    private static final String BEGIN = "cell=";

    private static final String HASH = "hash=";
    private static final String VERIFIED = "verified=";

    /**
     * Of fio's terse output, version 3: error; KiB, I/Os per second and milliseconds of reading,
     * and of writing.
     */
    private static final String FIELDS = "5,6,8,9,47,49,50";

    private static final Pattern RESULT =
            Pattern.compile(
                    "(\\d+);(\\d{1,12});(\\d{1,9});(\\d{1,9});(\\d{1,12});(\\d{1,9});(\\d{1,9})");

    /** Part of the disk that is never written: the host knows what it holds. */
    static final int SEEDED_MIB = 32;

    static final int DISK_MIB = 256;
    private static final int VERIFIED_MIB = 16;

    static Optional<FioCell> named(String name) {
        return ALL.stream().filter(cell -> cell.name.equals(name)).findFirst();
    }

    boolean writes() {
        return pattern.contains("write");
    }

    /**
     * What the guest's shell runs: the part of the disk that the host knows is read, every cell is
     * measured, a part is written and read back with checksums, and the known part is read again.
     */
    static String script(List<FioCell> cells, int seconds) {
        StringBuilder script = new StringBuilder();
        script.append(
                """
                mkdir -p /tmp /dev/shm
                mount -t tmpfs tmp /tmp
                bad=0
                seeded() {
                    sum=$(dd if=/dev/vda bs=1M count=%d iflag=direct 2>/dev/null | sha256sum)
                    echo "%s${sum%%%% *}"
                }
                io() {
                    fio --name=io --filename=/dev/vda --direct=1 --ioengine=libaio --thread "$@"
                }
                cell() {
                    echo "%s$1"
                    shift
                    io --output-format=terse --terse-version=3 --offset=%dm --size=%dm --time_based "$@" |
                        cut -d';' -f%s || bad=1
                }
                seeded
                """
                        .formatted(
                                SEEDED_MIB,
                                HASH,
                                BEGIN,
                                SEEDED_MIB,
                                DISK_MIB - SEEDED_MIB,
                                FIELDS));
        for (FioCell cell : cells) {
            script.append(
                    "cell %s --rw=%s --bs=%d --iodepth=%d --runtime=%d%n"
                            .formatted(
                                    cell.name, cell.pattern, cell.blockBytes, cell.depth, seconds));
        }
        script.append(
                """
                io --rw=randwrite --bs=4k --iodepth=16 --offset=%dm --size=%dm --verify=crc32c \
                --verify_fatal=1 >/tmp/verify 2>&1
                code=$?
                [ $code = 0 ] || { bad=1; tail -n 5 /tmp/verify; }
                echo "%s$code"
                seeded
                exit $bad
                """
                        .formatted(SEEDED_MIB, VERIFIED_MIB, VERIFIED));
        return script.toString();
    }

    /** What a line of the guest's says. */
    sealed interface Said {
        record Begun(String cell) implements Said {}

        /**
         * A cell is over.
         *
         * @param bytes that were read and written
         * @param perSecond I/Os
         */
        record Measured(long bytes, double perSecond) implements Said {}

        record Hash(String hex) implements Said {}

        record Verified(boolean isEqual) implements Said {}

        /** Not for us, or not understood. */
        record Other(String line) implements Said {}
    }

    /** Understands a line, whatever is in it: the guest is not trusted. */
    static Said understand(String line) {
        if (line.startsWith(BEGIN)) {
            return new Said.Begun(line.substring(BEGIN.length()));
        }
        if (line.startsWith(HASH)) {
            return new Said.Hash(line.substring(HASH.length()));
        }
        if (line.startsWith(VERIFIED)) {
            return new Said.Verified(line.substring(VERIFIED.length()).equals("0"));
        }
        Matcher result = RESULT.matcher(line);
        if (!result.matches() || !result.group(1).equals("0")) {
            return new Said.Other(line);
        }
        long kib = Stream.of(2, 5).mapToLong(i -> Long.parseLong(result.group(i))).sum();
        double perSecond =
                Stream.of(3, 6).mapToDouble(i -> Double.parseDouble(result.group(i))).sum();
        return new Said.Measured(kib << 10, perSecond);
    }
}
