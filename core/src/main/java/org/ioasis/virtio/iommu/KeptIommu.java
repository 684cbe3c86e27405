// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu;

import static java.util.Objects.requireNonNull;
import static org.ioasis.spec.VirtioIommu.REQUESTQ;
import static org.ioasis.virtio.iommu.StateRecords.capacity;

import java.lang.foreign.MemorySegment;
import java.util.function.Consumer;
import org.ioasis.iommu.Endpoint;
import org.ioasis.iommu.Iommu;
import org.ioasis.iommu.Restoration;
import org.ioasis.memory.Count;
import org.ioasis.virtio.KeptState;
import org.jspecify.annotations.Nullable;

/**
 * The state of an IOMMU in memory that outlives the process: domains, who is attached, mappings,
 * {@code bypass}, and the answers of requests that may not have been given back. Faults that the
 * driver has not been told of are not in it. Device's thread; {@link #lost} any.
 */
final class KeptIommu implements KeptState {
    /** Records of each half, if there is the memory: for half as many mappings. */
    static final int CAPACITY = 1 << 18;

    private final Iommu iommu;
    private final VirtioIommuDevice type;
    private final Consumer<@Nullable StateJournal> writer;
    private final KnownAnswers answers = new KnownAnswers();
    private final Count lost = new Count();
    private Runnable whenLost = () -> {};
    private @Nullable StateJournal journal;

    /** What could not be gone on with: until a reset it stays as it is. */
    private @Nullable StateJournal refused;

    /** As it is written down. */
    private long suspended;

    /**
     * @param writer is told what to write to from now on
     */
    KeptIommu(Iommu iommu, VirtioIommuDevice type, Consumer<@Nullable StateJournal> writer) {
        this.iommu = iommu;
        this.type = type;
        this.writer = writer;
    }

    /** How often there was no room for the state. */
    long lost() {
        return lost.read();
    }

    @Override
    public long bytes() {
        return StateRecords.bytes(CAPACITY);
    }

    @Override
    public int queue() {
        return REQUESTQ;
    }

    /** Who is told each time that there is no room for the state any more. */
    void onLost(Runnable told) {
        whenLost = told;
    }

    private void noteLost() {
        lost.increment();
        whenLost.run();
    }

    /** What is known of requests that were taken before. */
    KnownAnswers answers() {
        return answers;
    }

    @Override
    public void begin(MemorySegment region) {
        letGo();
        answers.forget();
        suspended = 0;
        if (capacity(region.byteSize()) > 0) {
            StateJournal begun = journal(region);
            begun.begin();
            write(begun);
        }
    }

    @Override
    public void moveTo(MemorySegment region) {
        letGo();
        if (capacity(region.byteSize()) > 0) {
            StateJournal moved = journal(region);
            moved.moveHere(suspended);
            write(moved);
        }
    }

    @Override
    public void suspend(int base) {
        suspended(StateRecords.suspended(base));
    }

    @Override
    public void resume() {
        suspended(0);
    }

    private void suspended(long what) {
        suspended = what;
        StateJournal writing = journal;
        if (writing != null) {
            writing.suspended(what);
        }
    }

    @Override
    public Suspension suspension(MemorySegment region, int base) {
        if (capacity(region.byteSize()) == 0
                || StateRecords.get(region, StateRecords.MAGIC_AT) != StateRecords.MAGIC) {
            return Suspension.NONE;
        }
        long found = StateRecords.get(region, StateRecords.SUSPENDED_AT);
        if (found == 0) {
            return Suspension.NONE;
        }
        return found == StateRecords.suspended(base) ? Suspension.HERE : Suspension.ELSEWHERE;
    }

    /** What is written down is of a driver that is gone. */
    void reset(boolean isMachine) {
        StateJournal last = journal == null ? refused : journal;
        letGo();
        if (last != null) {
            last.reset(isMachine);
        }
    }

    private StateJournal journal(MemorySegment region) {
        return new StateJournal(region, iommu, answers, this::noteLost);
    }

    private void write(StateJournal next) {
        journal = next;
        writer.accept(next);
    }

    @Override
    public @Nullable String goOn(MemorySegment region, long[] numbersOut) {
        letGo();
        answers.forget();
        suspended = 0;
        StateReader.Found found;
        try {
            found = StateReader.read(region, iommu, numbersOut);
            restore(found);
        } catch (RestoreException e) {
            lose(region);
            return String.join("; ", e.reasons());
        }
        answers.noteNumber(found.lastNumber());
        for (StateReader.Answer answer : found.answers()) {
            answers.remember(answer.entry(), answer.number(), answer.status());
        }
        StateJournal goingOn = journal(region);
        goingOn.goOn(found.half(), found.count());
        write(goingOn);
        return null;
    }

    private void restore(StateReader.Found found) throws RestoreException {
        if (found.isBypassing() && !type.mayBypass()) {
            throw new RestoreException("bypass is 1 without a feature for it");
        }
        if (iommu.isListenedTo()) {
            throw new RestoreException("an endpoint has a listener, whose copy has ended");
        }
        Restoration restoration = new Restoration(iommu);
        String problem = restoration.prepare(found.domains());
        if (problem != null) {
            restoration.abandon();
            throw new RestoreException(problem);
        }
        iommu.bypass(found.isBypassing());
        type.domains().adopt(restoration.commit(found.isBypassing()));
        found.domains()
                .forEach(domain ->
                        domain.endpoints()
                                .forEach(id -> {
                                    Endpoint endpoint = iommu.endpoint(id);
                                    if (endpoint != null) {
                                        endpoint.noteAttached();
                                    }
                                }));
    }

    @Override
    public void lose(@Nullable MemorySegment region) {
        letGo();
        boolean isRoom = region != null && capacity(region.byteSize()) > 0;
        refused = isRoom ? journal(requireNonNull(region)) : null;
        // What endpoints would reach now is not what the driver has said.
        iommu.bypass(false);
    }

    @Override
    public long nextNumber() {
        return answers.nextNumber();
    }

    @Override
    public boolean isWriting() {
        return journal != null;
    }

    @Override
    public void letGo() {
        journal = null;
        refused = null;
        writer.accept(null);
    }
}
