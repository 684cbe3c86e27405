// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiouser;

import java.util.ArrayList;
import java.util.List;
import java.util.NavigableMap;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;
import java.util.function.IntConsumer;
import org.ioasis.iommu.DomainListener;
import org.ioasis.iommu.Status;
import org.ioasis.iommu.mapping.MapFlags;
import org.ioasis.iommu.mapping.Translation.Kind;
import org.ioasis.memory.Count;
import org.ioasis.memory.MemoryListener;
import org.ioasis.memory.Ranges;
import org.ioasis.memory.Region;
import org.ioasis.peer.SharedRegion;
import org.ioasis.sys.Errno;
import org.jspecify.annotations.Nullable;

/**
 * What a device server that is trusted has of guest memory: for each mapping of its endpoint's
 * domain, cut where regions of memory end, a DMA region of exactly these addresses with the file
 * and the offset of what lies there. It is told of a mapping before the guest's MAP is answered,
 * and an UNMAP is answered when it has confirmed that it has let go.
 *
 * <p>Device servers take so many regions and no more: a MAP that would be one too many is refused.
 * Where an ATTACH brings more mappings than that, neighbours are told of as one; what goes on of
 * such a run when a part of it is unmapped is told of anew, and is not there for a moment. Loop
 * thread.
 */
final class PassedMemory implements DomainListener, MemoryListener {
    private static final int READ_WRITE = MapFlags.READ | MapFlags.WRITE;

    /** What the endpoint reaches, whether a server is there or not. */
    private record Run(long first, long last, long output, int flags) {}

    private record Change(boolean isMapped, Run run) {}

    /** One DMA region of the server's, of one region of memory. Each is told of once. */
    private static final class Piece {
        private final long first;
        private final long last;
        private final Region region;
        private final long gpa;
        private final int flags;

        Piece(long first, long last, Region region, long gpa, int flags) {
            this.first = first;
            this.last = last;
            this.region = region;
            this.gpa = gpa;
            this.flags = flags;
        }

        boolean leadsWhere(Piece other) {
            return first == other.first
                    && last == other.last
                    && gpa == other.gpa
                    && flags == other.flags
                    && region.equals(other.region);
        }

        boolean isContinuedBy(Piece next) {
            return region.equals(next.region)
                    && flags == next.flags
                    && last + 1 == next.first
                    && gpa + (last - first) + 1 == next.gpa;
        }

        Piece part(long from, long to) {
            return new Piece(from, to, region, gpa + (from - first), flags);
        }

        boolean isAligned() {
            return ((first | (last + 1) | (gpa - region.gpaFirst())) & (Codec.PAGE_SIZE - 1)) == 0;
        }
    }

    private final Consumer<Command> server;
    private final BooleanSupplier isThere;
    private final Consumer<String> lost;

    private Kind kind = Kind.BLOCKED;

    /** By first address, unsigned. */
    private NavigableMap<Long, Run> runs = new TreeMap<>(Long::compareUnsigned);

    private final TreeMap<Long, Region> regions = new TreeMap<>(Long::compareUnsigned);

    /** What the server has been told of, whether it has answered or not. */
    private final TreeMap<Long, Piece> pieces = new TreeMap<>(Long::compareUnsigned);

    private volatile int size;
    private volatile int limit;

    /**
     * How many it takes, for who looks: what it has said, until it refuses one when it has fewer.
     * Not what is decided by, since servers refuse with the same error for other reasons.
     */
    private volatile int room;

    /** Tells one address space from the next: what has failed in one is nothing in the other. */
    private long epoch;

    private final List<Change> batch = new ArrayList<>();
    private @Nullable Kind next;
    private final Count maps = new Count();
    private final Count unmaps = new Count();
    private final Count refusals = new Count();

    /**
     * @param server takes commands for the server
     * @param isThere whether there is one: without it commands fail, and nothing is meant by that
     * @param lost the server cannot go on, for that reason
     */
    PassedMemory(Consumer<Command> server, BooleanSupplier isThere, Consumer<String> lost) {
        this.server = server;
        this.isThere = isThere;
        this.lost = lost;
    }

    /** What several commands together come to. */
    private static final class Wait {
        private int owed = 1;
        private int errno;
        private Runnable then = () -> {};

        void more() {
            owed++;
        }

        void less(int error) {
            if (errno == 0) {
                errno = error;
            }
            if (--owed == 0) {
                then.run();
            }
        }

        /** All is asked; {@code task} runs when all is answered, perhaps at once. */
        void finish(Runnable task) {
            then = task;
            less(0);
        }
    }

    // The server.

    /**
     * A server is there, and has been told of nothing.
     *
     * @param mapsMax how many regions it takes
     */
    void connected(int mapsMax) {
        limit = mapsMax;
        room = mapsMax;
        clear();
        List<Piece> all = fitting(allPieces());
        if (all == null) {
            tooMany();
            return;
        }
        Wait wait = new Wait();
        all.forEach(piece -> tell(piece, wait));
        finishOrLose(wait);
    }

    /** It is there no more. */
    void disconnected() {
        clear();
    }

    private void clear() {
        pieces.clear();
        size = 0;
    }

    private void tooMany() {
        lost.accept(
                "what it is to reach has more pieces than the %d regions of memory that it takes"
                        .formatted(limit));
    }

    private void finishOrLose(Wait wait) {
        wait.finish(() -> {
            if (wait.errno != 0 && isThere.getAsBoolean()) {
                lost.accept("it refuses memory: " + Errno.name(wait.errno));
            }
        });
    }

    private void tell(Piece piece, Wait wait) {
        pieces.put(piece.first, piece);
        size = pieces.size();
        maps.increment();
        wait.more();
        server.accept(
                Command.map(
                        piece.first,
                        piece.last - piece.first + 1,
                        shared(piece.region).offset() + (piece.gpa - piece.region.gpaFirst()),
                        piece.flags,
                        shared(piece.region),
                        (errno, _, _) -> {
                            boolean isRefused = errno != 0 && isThere.getAsBoolean();
                            if (isRefused) {
                                pieces.remove(piece.first, piece);
                                size = pieces.size();
                            }
                            if (isRefused && status(errno) == Status.NOMEM) {
                                room = Math.min(room, size);
                            }
                            wait.less(isRefused ? errno : 0);
                        }));
    }

    private static SharedRegion shared(Region region) {
        if (region.lender() instanceof SharedRegion shared) {
            return shared;
        }
        throw new IllegalStateException("memory without a file");
    }

    /** Takes a piece away; nobody can refuse that. */
    private void drop(Piece piece, Wait wait) {
        pieces.remove(piece.first);
        size = pieces.size();
        unmaps.increment();
        wait.more();
        server.accept(
                Command.unmap(
                        piece.first,
                        piece.last - piece.first + 1,
                        (errno, _, _) -> {
                            if (errno != 0 && isThere.getAsBoolean()) {
                                lost.accept(
                                        "it does not give memory back at 0x%x: %s"
                                                .formatted(piece.first, Errno.name(errno)));
                            }
                            wait.less(0);
                        }));
    }

    // Pieces.

    private List<Piece> pieces(Run run) {
        List<Piece> found = new ArrayList<>();
        long outputLast = run.output + (run.last - run.first);
        Long from = regions.floorKey(run.output);
        SortedMap<Long, Region> near = from == null ? regions : regions.tailMap(from);
        for (Region region : near.values()) {
            if (Ranges.isBelow(outputLast, region.gpaFirst())) {
                break;
            }
            Piece piece = piece(run, region, outputLast);
            if (piece != null) {
                found.add(piece);
            }
        }
        return found;
    }

    private static @Nullable Piece piece(Run run, Region region, long outputLast) {
        int flags = run.flags & (region.isWritable() ? READ_WRITE : MapFlags.READ);
        boolean isReached =
                Ranges.overlap(run.output, outputLast, region.gpaFirst(), region.gpaLast())
                        && flags != 0
                        && (run.flags & MapFlags.MMIO) == 0;
        if (!isReached) {
            return null;
        }
        long gpa = Ranges.max(run.output, region.gpaFirst());
        long gpaLast = Ranges.min(outputLast, region.gpaLast());
        long first = run.first + (gpa - run.output);
        return new Piece(first, first + (gpaLast - gpa), region, gpa, flags);
    }

    private List<Piece> allPieces() {
        List<Piece> all = new ArrayList<>();
        runs.values().forEach(run -> all.addAll(pieces(run)));
        return all;
    }

    /** All of these as the server takes them, or null: it takes not so many. */
    private @Nullable List<Piece> fitting(List<Piece> all) {
        if (all.size() <= limit) {
            return all;
        }
        List<Piece> joined = new ArrayList<>();
        for (Piece piece : all) {
            Piece before = joined.isEmpty() ? null : joined.getLast();
            if (before != null && before.isContinuedBy(piece)) {
                joined.set(
                        joined.size() - 1,
                        new Piece(before.first, piece.last, piece.region, before.gpa, piece.flags));
            } else {
                joined.add(piece);
            }
        }
        return joined.size() <= limit ? joined : null;
    }

    // The domain.

    /** What is unmapped later is unmapped as it was mapped. */
    @Override
    public boolean hearsEachMapping() {
        return true;
    }

    @Override
    public void begin() {
        batch.clear();
        next = null;
    }

    @Override
    public void translation(Kind to) {
        batch.clear();
        next = to;
    }

    @Override
    public void mapped(long first, long last, long output, int flags) {
        batch.add(new Change(true, new Run(first, last, output, flags)));
    }

    @Override
    public void unmapped(long first, long last) {
        batch.add(new Change(false, new Run(first, last, 0, 0)));
    }

    @Override
    public void commit(Answer answer) {
        if (next == null) {
            change(answer);
        } else {
            move(next, answer);
        }
    }

    /** Some mappings more, or some fewer. */
    private void change(Answer answer) {
        List<Run> added = new ArrayList<>();
        List<Piece> more = new ArrayList<>();
        Wait wait = new Wait();
        for (Change one : List.copyOf(batch)) {
            if (one.isMapped) {
                added.add(one.run);
                more.addAll(pieces(one.run));
            } else {
                runs.subMap(one.run.first, true, one.run.last, true).clear();
                take(one.run.first, one.run.last, wait);
            }
        }
        boolean isThereNow = isThere.getAsBoolean();
        if (isThereNow && !more.isEmpty()) {
            Status status = refusal(more);
            if (status != Status.OK) {
                refusals.increment();
                answer.refused(status);
                return;
            }
        }
        added.forEach(run -> runs.put(run.first, run));
        if (isThereNow) {
            more.forEach(piece -> tell(piece, wait));
        }
        wait.finish(() -> {
            if (wait.errno == 0) {
                answer.ok();
            } else {
                takeBack(added, more, () -> answer.refused(status(wait.errno)));
            }
        });
    }

    private Status refusal(List<Piece> more) {
        if (!more.stream().allMatch(Piece::isAligned)) {
            return Status.RANGE;
        }
        return more.size() > limit - pieces.size() ? Status.NOMEM : Status.OK;
    }

    /** The server has refused a part of what was added. */
    private void takeBack(List<Run> added, List<Piece> more, Runnable then) {
        refusals.increment();
        Wait undone = new Wait();
        for (Run run : added) {
            runs.remove(run.first, run);
        }
        for (Piece piece : more) {
            if (pieces.get(piece.first) == piece) {
                drop(piece, undone);
            }
        }
        undone.finish(then);
    }

    /** Takes away what the server reaches at {@code first..last}, and nothing beside it. */
    private void take(long first, long last, Wait wait) {
        Long from = pieces.floorKey(first);
        SortedMap<Long, Piece> near = pieces.subMap(from == null ? first : from, true, last, true);
        List<Piece> rest = new ArrayList<>();
        for (Piece piece : List.copyOf(near.values())) {
            if (Ranges.isBelow(piece.last, first)) {
                continue;
            }
            drop(piece, wait);
            if (Ranges.isBelow(piece.first, first)) {
                rest.add(piece.part(piece.first, first - 1));
            }
            if (Ranges.isBelow(last, piece.last)) {
                rest.add(piece.part(last + 1, piece.last));
            }
        }
        if (rest.isEmpty()) {
            return;
        }
        if (rest.size() > limit - pieces.size()) {
            tooMany();
            return;
        }
        Wait again = new Wait();
        rest.forEach(piece -> tell(piece, again));
        finishOrLose(again);
    }

    /** Another address space. What the server has of it already stays as it is. */
    private void move(Kind to, Answer answer) {
        epoch++;
        long mine = epoch;
        Kind kindBefore = kind;
        NavigableMap<Long, Run> before = runs;
        enter(to, runsOf(to));
        if (to == Kind.WALKED) {
            enter(kindBefore, before);
            answer.refused(Status.UNSUPP);
            return;
        }
        if (!isThere.getAsBoolean()) {
            answer.ok();
            return;
        }
        List<Piece> all = fitting(allPieces());
        boolean isPossible = all != null && all.stream().allMatch(Piece::isAligned);
        if (!isPossible && to == Kind.BYPASS) {
            // Nobody has asked for it, and nobody can be told.
            tooMany();
            answer.ok();
            return;
        }
        if (all == null || !isPossible) {
            refusals.increment();
            enter(kindBefore, before);
            answer.refused(all == null ? Status.NOMEM : Status.RANGE);
            return;
        }
        become(
                all,
                errno -> {
                    if (errno == 0) {
                        answer.ok();
                    } else if (to == Kind.BYPASS || to == Kind.BLOCKED) {
                        lost.accept("it refuses memory: " + Errno.name(errno));
                        answer.ok();
                    } else if (epoch != mine) {
                        answer.refused(status(errno)); // of what has been reset since
                    } else {
                        refusals.increment();
                        enter(kindBefore, before);
                        goBack(status(errno), answer);
                    }
                });
    }

    private NavigableMap<Long, Run> runsOf(Kind to) {
        NavigableMap<Long, Run> found = new TreeMap<>(Long::compareUnsigned);
        if (to == Kind.IDENTITY || to == Kind.BYPASS) {
            found.put(0L, new Run(0, -1L, 0, READ_WRITE));
        }
        for (Change one : batch) {
            found.put(one.run.first, one.run);
        }
        return found;
    }

    private void enter(Kind to, NavigableMap<Long, Run> with) {
        kind = to;
        runs = with;
    }

    private void goBack(Status status, Answer answer) {
        List<Piece> all = fitting(allPieces());
        become(
                all == null ? List.of() : all,
                errno -> {
                    if (all != null && errno == 0) {
                        answer.refused(status);
                        return;
                    }
                    enter(Kind.BLOCKED, new TreeMap<>(Long::compareUnsigned));
                    become(List.of(), _ -> answer.lost());
                });
    }

    /** The server is told of these, and of no others any more. */
    private void become(List<Piece> all, IntConsumer then) {
        Wait wait = new Wait();
        List<Piece> more = new ArrayList<>();
        TreeMap<Long, Piece> over = new TreeMap<>(pieces);
        for (Piece piece : all) {
            Piece there = over.get(piece.first);
            if (there != null && there.leadsWhere(piece)) {
                over.remove(piece.first);
            } else {
                more.add(piece);
            }
        }
        over.values().forEach(piece -> drop(piece, wait));
        more.forEach(piece -> tell(piece, wait));
        wait.finish(() -> then.accept(wait.errno));
    }

    private static Status status(int errno) {
        return switch (errno) {
            // As servers say that they take no more.
            case Errno.ENOMEM, Errno.ENOSPC, Errno.EINVAL, Errno.EMFILE, Errno.ENFILE ->
                    Status.NOMEM;
            default -> Status.DEVERR;
        };
    }

    // The memory.

    @Override
    public void appeared(Region region) {
        if (!(region.lender() instanceof SharedRegion shared) || !shared.isPassedOn()) {
            return;
        }
        regions.put(region.gpaFirst(), region);
        if (!isThere.getAsBoolean()) {
            return;
        }
        List<Piece> more = new ArrayList<>();
        for (Run run : runs.values()) {
            Piece piece = piece(run, region, run.output + (run.last - run.first));
            if (piece != null) {
                more.add(piece);
            }
        }
        if (more.size() > limit - pieces.size()) {
            tooMany();
            return;
        }
        Wait wait = new Wait();
        more.forEach(piece -> tell(piece, wait));
        finishOrLose(wait);
    }

    @Override
    public void vanished(long gpaFirst, long gpaLast, Runnable letGo) {
        regions.subMap(gpaFirst, true, gpaLast, true).clear();
        Wait wait = new Wait();
        for (Piece piece : List.copyOf(pieces.values())) {
            if (Ranges.covers(gpaFirst, gpaLast, piece.gpa, piece.gpa)) {
                drop(piece, wait);
            }
        }
        wait.finish(letGo);
    }

    // For who shows it.

    /** What has come of it. Any thread. */
    PassedCounts counts() {
        return new PassedCounts(size, room, maps.read(), unmaps.read(), refusals.read());
    }
}
