// SPDX-License-Identifier: Apache-2.0
package org.ioasis.record;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.ioasis.sys.Fd;
import org.ioasis.sys.Mapping;
import org.ioasis.sys.Memfd;
import org.jspecify.annotations.Nullable;

/**
 * Puts a recording through engines of its own and compares every answer: of requests their status
 * and why, of accesses where they led, of faults their reason. One thread.
 */
public final class Replay {
    /** Of the guest's addresses: none of it is ever touched, so it costs nothing. */
    private static final long MEMORY = 1L << 40;

    /** Rows that are shown before and behind a difference. */
    private static final int AROUND = 5;

    private static final int IOMMUS_MAX = 256;

    /** Bytes that the mappings of all its IOMMUs may take, whatever those of a recording might. */
    static final long TABLES_MAX = 1L << 32;

    /**
     * The first answer that is another one.
     *
     * @param sequence of the row
     * @param recorded the row
     * @param replayed what became of it here
     * @param around the rows around it, each with its number
     */
    public record Difference(long sequence, String recorded, String replayed, List<String> around) {
        public Difference {
            around = List.copyOf(around);
        }
    }

    /**
     * What a replay has found.
     *
     * @param rows that there are
     * @param requests answered as recorded
     * @param accesses that led where they did
     * @param faults that were refused for the same reason
     * @param others rows that tell the engine something and have no answer
     * @param elsewhere rows whose answer is not the engine's: of the wire, of listeners, of planted
     *     failures
     * @param lostAt the row from which on rows are missing, so that nothing can be compared; or -1
     * @param difference null: there is none
     */
    public record Result(
            long rows,
            long requests,
            long accesses,
            long faults,
            long others,
            long elsewhere,
            long lostAt,
            @Nullable Difference difference) {
        /** Every answer is as recorded. */
        public boolean isExact() {
            return difference == null && lostAt < 0;
        }
    }

    private final Path file;
    private final long tablesMax;
    private long tables;
    private long requests;
    private long accesses;
    private long faults;
    private long others;
    private long elsewhere;

    private Replay(Path file, long tablesMax) {
        this.file = file;
        this.tablesMax = tablesMax;
    }

    /**
     * Replays a recording.
     *
     * @throws IOException it cannot be read, or has what a replay cannot do
     */
    public static Result of(Path file) throws IOException {
        return of(file, TABLES_MAX);
    }

    /** For tests: with another limit of bytes of tables. */
    static Result of(Path file, long tablesMax) throws IOException {
        try (RowFiles.Reader reader = RowFiles.found().open(file);
                Fd fd = Memfd.create("replay", MEMORY);
                Mapping memory = Mapping.map(fd, 0, MEMORY, true)) {
            return new Replay(file, tablesMax).play(reader, memory);
        }
    }

    private Result play(RowFiles.Reader reader, Mapping memory) throws IOException {
        Map<String, ReplayedIommu> iommus = new HashMap<>();
        try {
            List<Setup> setups = setups(reader);
            if (setups.size() > IOMMUS_MAX) {
                throw new IOException("%s has %d IOMMUs".formatted(file, setups.size()));
            }
            try {
                for (Setup setup : setups) {
                    iommus.put(setup.name(), new ReplayedIommu(setup, memory.segment()));
                }
            } catch (IllegalArgumentException e) {
                throw new IOException(
                        file + " describes an IOMMU that cannot be: " + e.getMessage(), e);
            }
            return play(reader, iommus);
        } finally {
            iommus.values().forEach(ReplayedIommu::close);
        }
    }

    private List<Setup> setups(RowFiles.Reader reader) throws IOException {
        try {
            return Setup.read(reader.about());
        } catch (IllegalArgumentException e) {
            throw new IOException(
                    "%s does not say how its IOMMUs are built: %s".formatted(file, e.getMessage()),
                    e);
        }
    }

    private Result play(RowFiles.Reader reader, Map<String, ReplayedIommu> iommus)
            throws IOException {
        Row row = new Row();
        while (reader.next(row)) {
            if (row.event() == Event.LOST) {
                return result(reader, row.sequence(), null);
            }
            ReplayedIommu iommu = iommus.get(row.iommu());
            if (iommu == null) {
                throw new IOException(
                        "%s: row %d is of an IOMMU that is not described: %s"
                                .formatted(file, row.sequence(), row.iommu()));
            }
            if (!ReplayedIommu.isAnsweredHere(row)) {
                elsewhere++;
                continue;
            }
            long before = iommu.tableBytes();
            String other = iommu.play(row);
            tables += iommu.tableBytes() - before;
            if (tables > tablesMax) {
                throw new IOException(
                        "%s: at row %d its IOMMUs have %d bytes of tables, more than a replay"
                                .formatted(file, row.sequence(), tables));
            }
            if (other != null) {
                return result(reader, -1, difference(row, other));
            }
            switch (row.event()) {
                case MAP, UNMAP, ATTACH, DETACH -> requests++;
                case ACCESS -> accesses++;
                case FAULT -> faults++;
                default -> others++;
            }
        }
        return result(reader, -1, null);
    }

    private Result result(RowFiles.Reader reader, long lostAt, @Nullable Difference difference) {
        return new Result(
                reader.rows(), requests, accesses, faults, others, elsewhere, lostAt, difference);
    }

    /**
     * The file is read once more for what is around it: to keep that of each row would cost more.
     */
    private Difference difference(Row row, String other) throws IOException {
        long sequence = row.sequence();
        String recorded = row.toString();
        List<String> around = new ArrayList<>();
        try (RowFiles.Reader again = RowFiles.found().open(file)) {
            Row near = new Row();
            while (again.next(near) && near.sequence() <= sequence + AROUND) {
                if (near.sequence() >= sequence - AROUND) {
                    around.add(near.sequence() + " " + near);
                }
            }
        }
        return new Difference(sequence, recorded, other, around);
    }
}
