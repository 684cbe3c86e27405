// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.iotlb;

import org.ioasis.iommu.mapping.Extent;
import org.ioasis.iommu.mapping.Translation;
import org.ioasis.iommu.mapping.Translation.Kind;
import org.ioasis.iommu.mapping.Workspace;
import org.ioasis.iommu.pagetable.Cell;
import org.ioasis.iommu.pagetable.Rights;
import org.ioasis.iommu.pagetable.TableAccess;
import org.ioasis.iommu.pagetable.TwoStageFault;
import org.ioasis.iommu.pagetable.Walk;
import org.ioasis.iommu.pagetable.WalkFault;
import org.ioasis.memory.GuestMemory;
import org.ioasis.memory.GuestWords;
import org.ioasis.memory.Outcome;

/**
 * What one owner of an {@link Extent} needs for walks of one table, and the way on which they find
 * its words: in guest memory, behind a second stage if there is one. One thread, inside a guarded
 * section; made once and used again, so that a walk allocates nothing.
 */
final class WalkSpace extends Workspace implements TableAccess {
    final WalkedTranslation owner;
    final Walk walk = new Walk();
    final Extent behind = new Extent();

    private final GuestWords words;
    private final Translation second;
    private final boolean isBehind;

    /** The last access to a table was refused by the second stage. */
    boolean isRefused;

    /** The second stage has the smallest page around the last address in one piece. */
    boolean isWhole;

    /** Nothing of the table or of the second stage is to be marked. */
    boolean isLooking;

    WalkSpace(WalkedTranslation owner, GuestMemory memory, Translation second) {
        this.owner = owner;
        this.words = new GuestWords(memory);
        this.second = second;
        this.isBehind = second.kind() != Kind.IDENTITY;
    }

    @Override
    public Outcome load(long address, Cell into) {
        long output = address;
        if (isBehind) {
            Outcome outcome = pass(address, Rights.READ);
            if (outcome != Outcome.OK) {
                return outcome;
            }
            output += behind.delta();
        }
        Outcome outcome = words.load(output);
        if (outcome == Outcome.OK) {
            into.set(words.word());
        }
        return outcome;
    }

    @Override
    public Outcome exchange(long address, long expected, long word, Cell witness) {
        long output = address;
        if (isBehind) {
            Outcome outcome = pass(address, Rights.READ | Rights.WRITE);
            if (outcome != Outcome.OK) {
                return outcome;
            }
            output += behind.delta();
        }
        Outcome outcome = words.exchange(output, expected, word);
        if (outcome == Outcome.OK) {
            witness.set(words.word());
        }
        return outcome;
    }

    private Outcome pass(long address, int access) {
        Outcome outcome = askSecond(address, Long.BYTES, access);
        isRefused = outcome == Outcome.FAULT;
        return outcome;
    }

    /**
     * Remembers that it was the second stage: with its own reason if it is walked, and by what is
     * mapped if it is mapped.
     */
    Outcome refuseBehind(TwoStageFault at, long address) {
        Workspace of = second.kind() == Kind.WALKED ? behind.workspace() : null;
        if (of != null) {
            return refuse(at, of.fault(), of.level(), address);
        }
        boolean isThere = second.lookup(address, behind);
        return refuse(at, isThere ? WalkFault.PERMISSION : WalkFault.TRANSLATION, 0, address);
    }

    /** What the second stage says of an access to an address between the stages. */
    Outcome askSecond(long address, long length, int access) {
        if (isLooking) {
            return second.lookup(address, length, behind) && (access & ~behind.flags()) == 0
                    ? Outcome.OK
                    : Outcome.FAULT;
        }
        return second.access(address, length, access, behind);
    }
}
