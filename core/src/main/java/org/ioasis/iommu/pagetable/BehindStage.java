// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.pagetable;

import org.ioasis.memory.Outcome;

/**
 * Memory as it is seen in front of a stage: what a first stage, or its context structures, have
 * their entries in when there is a second. One thread, and the memory's rules.
 */
public final class BehindStage implements TableAccess {
    private final Stage stage;
    private final TableAccess memory;
    private final Walk walk = new Walk();

    /**
     * @param memory what the stage leads to, with its own tables
     */
    public BehindStage(Stage stage, TableAccess memory) {
        this.stage = stage;
        this.memory = memory;
    }

    /** True if it is this stage that the last access has failed in. */
    public boolean isRefused() {
        return walk.fault() != WalkFault.NONE;
    }

    private boolean leads(long address, int access) {
        return Walker.walk(
                stage.format(), memory, stage.root(), address, access, stage.marks(), walk);
    }

    @Override
    public Outcome load(long address, Cell into) {
        return leads(address, Rights.READ) ? memory.load(walk.output(), into) : Outcome.FAULT;
    }

    @Override
    public Outcome exchange(long address, long expected, long word, Cell witness) {
        return leads(address, Rights.READ | Rights.WRITE)
                ? memory.exchange(walk.output(), expected, word, witness)
                : Outcome.FAULT;
    }
}
