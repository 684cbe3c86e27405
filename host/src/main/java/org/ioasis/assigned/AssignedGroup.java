// SPDX-License-Identifier: Apache-2.0
package org.ioasis.assigned;

import java.util.ArrayList;
import java.util.List;
import org.ioasis.host.IntervalTree;
import org.ioasis.iommu.mapping.MapFlags;
import org.ioasis.iommufd.Errno;
import org.ioasis.iommufd.IommufdException;
import org.ioasis.iommufd.Owner;
import org.ioasis.memory.Ranges;

/**
 * The assigned devices of one group: endpoints of the guest's IOMMU that share one address space of
 * the host, so that what one of them reaches all do. What two are told to map alike is mapped once;
 * what they are told to map differently is refused. Loop thread.
 */
public final class AssignedGroup {
    /**
     * Guest memory as the program that runs the guest has it.
     *
     * @param first guest-physical address
     * @param last inclusive
     * @param owner whose memory it is
     * @param address where it begins there
     */
    public record Ram(long first, long last, Owner owner, long address) {}

    /** What is mapped because some endpoints were told so. */
    static final class Run {
        final long first;
        final long last;
        final long output;
        final int flags;
        private int users;

        Run(long first, long last, long output, int flags) {
            this.first = first;
            this.last = last;
            this.output = output;
            this.flags = flags;
        }
    }

    private record Piece(long iova, long length) {}

    private interface PieceVisitor {
        void visit(Ram ram, long iova, long output, long length) throws IommufdException;
    }

    private final DmaTarget target;
    private final List<Ram> memory;
    private final IntervalTree<Run> runs = new IntervalTree<>();

    /**
     * @param memory in any order, without overlaps
     */
    public AssignedGroup(DmaTarget target, List<Ram> memory) {
        this.target = target;
        this.memory = List.copyOf(memory);
    }

    /** One more device of the group: what listens for its endpoint. */
    public AssignedEndpoint endpoint() {
        return new AssignedEndpoint(this);
    }

    /** Mappings of guests that the host has, each once. */
    public int size() {
        return runs.size();
    }

    List<Ram> memory() {
        return memory;
    }

    /** Maps for one endpoint more; all of it or nothing. */
    Run map(long first, long last, long output, int flags) throws IommufdException {
        int found = runs.overlapping(first, last);
        if (found != IntervalTree.NONE) {
            Run known = runs.value(found);
            if (known.first != first
                    || known.last != last
                    || known.output != output
                    || known.flags != flags) {
                throw new IommufdException(
                        Errno.EEXIST, "another device of the group has other mappings there");
            }
            known.users++;
            return known;
        }
        Run fresh = new Run(first, last, output, flags);
        List<Piece> done = new ArrayList<>();
        try {
            pieces(
                    fresh,
                    (ram, iova, at, length) -> {
                        target.map(
                                ram.owner,
                                ram.address + (at - ram.first),
                                iova,
                                length,
                                (flags & MapFlags.READ) != 0,
                                (flags & MapFlags.WRITE) != 0);
                        done.add(new Piece(iova, length));
                    });
        } catch (IommufdException e) {
            for (Piece piece : done) {
                unmap(piece.iova, piece.length);
            }
            throw e;
        }
        fresh.users = 1;
        runs.insert(first, last, fresh);
        return fresh;
    }

    /** One endpoint fewer needs it. */
    void unmap(Run run) {
        if (--run.users > 0) {
            return;
        }
        runs.remove(run.first, run);
        try {
            pieces(run, (_, iova, _, length) -> unmap(iova, length));
        } catch (IommufdException e) {
            throw new IllegalStateException("what is taken away cannot be refused", e);
        }
    }

    private void unmap(long iova, long length) {
        try {
            target.unmap(iova, length);
        } catch (IommufdException e) {
            throw new IllegalStateException(
                    "what was mapped at 0x%x cannot be unmapped".formatted(iova), e);
        }
    }

    /**
     * The parts of a run that lead to memory. Nothing is mapped where none is: an access there
     * fails as it does for every other device. So does one to what is no memory, or has no rights.
     */
    private void pieces(Run run, PieceVisitor visitor) throws IommufdException {
        if ((run.flags & (MapFlags.READ | MapFlags.WRITE)) == 0
                || (run.flags & MapFlags.MMIO) != 0) {
            return;
        }
        long outputLast = run.output + (run.last - run.first);
        for (Ram ram : memory) {
            long from = Ranges.max(ram.first, run.output);
            long to = Ranges.min(ram.last, outputLast);
            if (Ranges.isAtMost(from, to)) {
                visitor.visit(ram, run.first + (from - run.output), from, to - from + 1);
            }
        }
    }
}
