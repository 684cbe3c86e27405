// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.iotlb;

import java.util.concurrent.atomic.AtomicInteger;
import org.ioasis.iommu.mapping.Extent;
import org.ioasis.iommu.mapping.Translation;
import org.ioasis.iommu.mapping.Untranslated;
import org.ioasis.iommu.mapping.Workspace;
import org.ioasis.iommu.pagetable.AddressSpace;
import org.ioasis.iommu.pagetable.Cell;
import org.ioasis.iommu.pagetable.ContextAnswer;
import org.ioasis.iommu.pagetable.TableAccess;
import org.ioasis.iommu.pagetable.TwoStageFault;
import org.ioasis.iommu.pagetable.WalkFault;
import org.ioasis.memory.Access;
import org.ioasis.memory.GuestMemory;
import org.ioasis.memory.GuestWords;
import org.ioasis.memory.Outcome;
import org.jspecify.annotations.Nullable;

/**
 * Context structures of a guest's own, which say for each PASID what its accesses go through. Who
 * asks looks his up once and keeps what he has found until the guest has said that they are others
 * ({@link #renew}); of what is not there nothing is kept. Any thread, inside a guarded section;
 * allocates at a look.
 *
 * <p><b>No old context fills the IOTLB.</b> Who asks reads the epoch of the IOTLB, then which
 * contexts count, then goes by his own; who renews says first that others count and then moves the
 * epoch, by taking something away. So what was found by an old context is not kept when it has
 * moved.
 */
public final class ContextTranslation extends Translation {
    /** Finds what a PASID goes through. Inside a guarded section. */
    @FunctionalInterface
    public interface Contexts {
        /**
         * @param pasid or {@link Extent#NO_PASID}
         * @return a first stage or none, and no second
         */
        ContextAnswer<?> find(TableAccess tables, int pasid);
    }

    private final Contexts contexts;
    private final GuestMemory memory;
    private final Iotlb tlb;
    private final AtomicInteger edition = new AtomicInteger();

    /**
     * @param memory where the structures lie, and what they lead to
     */
    public ContextTranslation(Contexts contexts, GuestMemory memory, Iotlb tlb) {
        super(Kind.WALKED);
        this.contexts = contexts;
        this.memory = memory;
        this.tlb = tlb;
    }

    /**
     * What stands in the structures is another: sections that begin from here on go by it. To be
     * followed by a command to the IOTLB. Any thread.
     */
    public void renew() {
        edition.getAndIncrement();
    }

    @Override
    public long translate(long iova, long length, int flags) {
        return UNCLEAR; // it depends on who asks
    }

    @Override
    public boolean lookup(long iova, Extent found) {
        Space space = workspace(found);
        Translation chosen = space.chosen(found.pasid());
        if (chosen == null) {
            return false;
        }
        Part part = space.part;
        boolean isThere = chosen.lookup(iova, part.extent);
        return part.handOn(isThere ? Outcome.OK : Outcome.FAULT, iova, found, space) == Outcome.OK;
    }

    @Override
    public Outcome access(long iova, long length, int flags, Extent found) {
        Space space = workspace(found);
        long epoch = tlb.epoch();
        Translation chosen = space.chosen(found.pasid());
        if (chosen == null) {
            return space.isAbsent
                    ? Outcome.ABSENT
                    : space.refuse(TwoStageFault.CONTEXT, WalkFault.TRANSLATION, 0, iova);
        }
        Part part = space.part;
        Outcome outcome =
                chosen instanceof WalkedTranslation walked
                        ? walked.accessSince(epoch, iova, flags, part.extent)
                        : chosen.access(iova, length, flags, part.extent);
        return part.handOn(outcome, iova, found, space);
    }

    @Override
    public String explain(String name, long iova, Access access) {
        return "%s has tables for each PASID, and does not let 0x%x through by those of this one"
                .formatted(name, iova);
    }

    private Space workspace(Extent found) {
        if (found.workspace() instanceof Space known && known.owner() == this) {
            return known;
        }
        Space made = new Space();
        found.workspace(made);
        return made;
    }

    /** What one owner of an extent has found, and the way on which structures are read. */
    private final class Space extends Workspace implements TableAccess {
        private final Part part = new Part();
        private final GuestWords words = new GuestWords(memory);
        private @Nullable Translation known;
        private int knownEdition;

        /** The last look has met memory that is absent. */
        private boolean isAbsent;

        ContextTranslation owner() {
            return ContextTranslation.this;
        }

        /** Null: nothing, and nothing is kept of that. */
        @Nullable Translation chosen(int pasid) {
            int current = edition.get();
            Translation chosen = known;
            if (chosen == null || knownEdition != current) {
                chosen = look(pasid);
                known = chosen;
                knownEdition = current;
            }
            return chosen;
        }

        private @Nullable Translation look(int pasid) {
            isAbsent = false;
            ContextAnswer<?> answer = contexts.find(this, pasid);
            if (answer.refusal() != null) {
                return null;
            }
            AddressSpace space = answer.space();
            return space.first() == null
                    ? Untranslated.IDENTITY
                    : WalkedTranslation.of(space, memory, tlb);
        }

        @Override
        public Outcome load(long address, Cell into) {
            Outcome outcome = words.load(address);
            isAbsent |= outcome == Outcome.ABSENT;
            if (outcome == Outcome.OK) {
                into.set(words.word());
            }
            return outcome;
        }

        @Override
        public Outcome exchange(long address, long expected, long word, Cell witness) {
            throw new UnsupportedOperationException("context structures are read only");
        }
    }
}
