// SPDX-License-Identifier: Apache-2.0
package org.ioasis.assigned;

import java.util.ArrayList;
import java.util.List;
import org.ioasis.host.IntervalTree;
import org.ioasis.iommu.DomainListener;
import org.ioasis.iommu.Status;
import org.ioasis.iommu.mapping.MapFlags;
import org.ioasis.iommu.mapping.Translation.Kind;
import org.ioasis.iommufd.IommufdException;
import org.jspecify.annotations.Nullable;

/**
 * What an endpoint of a guest's IOMMU is told, done for the assigned device that it stands for
 * before the guest has its answer. What the host refuses is refused to the guest, and all is as it
 * was. Loop thread.
 */
public final class AssignedEndpoint implements DomainListener {
    private record Change(boolean isMapped, long first, long last, long output, int flags) {}

    private final AssignedGroup group;
    private final IntervalTree<AssignedGroup.Run> runs = new IntervalTree<>();
    private final List<Change> batch = new ArrayList<>();
    private @Nullable Kind next;
    private long refusals;
    private long losses;

    AssignedEndpoint(AssignedGroup group) {
        this.group = group;
    }

    /** Batches that the host has refused. */
    public long refusals() {
        return refusals;
    }

    /** Times that the device was left with nothing, since what it had could not be had back. */
    public long losses() {
        return losses;
    }

    /** A run that was told of as one cannot be unmapped in parts by what lies behind. */
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
    public void translation(Kind kind) {
        batch.clear();
        next = kind;
    }

    @Override
    public void mapped(long first, long last, long output, int flags) {
        batch.add(new Change(true, first, last, output, flags));
    }

    @Override
    public void unmapped(long first, long last) {
        batch.add(new Change(false, first, last, 0, 0));
    }

    @Override
    public void commit(Answer answer) {
        Kind kind = next;
        if (kind == null) {
            change(answer);
            return;
        }
        List<AssignedGroup.Run> before = runs.values(0, -1);
        before.forEach(this::drop);
        if (kind == Kind.IDENTITY || kind == Kind.BYPASS) {
            for (AssignedGroup.Ram ram : group.memory()) {
                int rights = MapFlags.READ | MapFlags.WRITE;
                batch.add(new Change(true, ram.first(), ram.last(), ram.first(), rights));
            }
        }
        IommufdException refusal = add();
        if (refusal == null) {
            answer.ok();
        } else if (kind == Kind.BYPASS) {
            // Nobody has asked for it, and nobody can be told: the device reaches nothing.
            losses++;
            answer.ok();
        } else {
            restore(before, refusal, answer);
        }
    }

    /** Some mappings more, or some fewer. */
    private void change(Answer answer) {
        for (Change one : batch) {
            if (!one.isMapped) {
                runs.values(one.first, one.last).forEach(this::drop);
            }
        }
        IommufdException refusal = add();
        if (refusal == null) {
            answer.ok();
        } else {
            refusals++;
            answer.refused(status(refusal));
        }
    }

    /** Adds what the batch adds: all, or nothing and why. */
    private @Nullable IommufdException add() {
        List<AssignedGroup.Run> done = new ArrayList<>();
        try {
            for (Change one : batch) {
                if (one.isMapped) {
                    done.add(keep(group.map(one.first, one.last, one.output, one.flags)));
                }
            }
            return null;
        } catch (IommufdException e) {
            done.forEach(this::drop);
            return e;
        }
    }

    private void restore(List<AssignedGroup.Run> before, IommufdException refusal, Answer answer) {
        refusals++;
        try {
            for (AssignedGroup.Run run : before) {
                keep(group.map(run.first, run.last, run.output, run.flags));
            }
        } catch (IommufdException e) {
            clear();
            losses++;
            answer.lost();
            return;
        }
        answer.refused(status(refusal));
    }

    /** Has nothing any more. */
    void clear() {
        runs.values(0, -1).forEach(this::drop);
    }

    private AssignedGroup.Run keep(AssignedGroup.Run run) {
        runs.insert(run.first, run.last, run);
        return run;
    }

    private void drop(AssignedGroup.Run run) {
        runs.remove(run.first, run);
        group.unmap(run);
    }

    static Status status(IommufdException refusal) {
        return switch (refusal.errno()) {
            case ENOMEM, ENOSPC -> Status.NOMEM;
            case EFAULT -> Status.FAULT;
            case EEXIST -> Status.UNSUPP;
            case EINVAL, ERANGE, EOVERFLOW -> Status.RANGE;
            default -> Status.DEVERR;
        };
    }
}
