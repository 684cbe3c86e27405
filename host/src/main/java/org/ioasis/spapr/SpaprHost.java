// SPDX-License-Identifier: Apache-2.0
package org.ioasis.spapr;

import java.util.IdentityHashMap;
import org.ioasis.iommufd.IommufdNode;
import org.ioasis.iommufd.ProgramMemory;

/**
 * A host whose IOMMUs are POWER's: what its processes have registered. Pages are held and tables
 * are kept in the memory of a node, with that of {@code /dev/iommu}. Any thread.
 */
public final class SpaprHost {
    private final IommufdNode node;
    private final IdentityHashMap<ProgramMemory, RegisteredMemory> processes =
            new IdentityHashMap<>();

    public SpaprHost(IommufdNode node) {
        this.node = node;
    }

    IommufdNode node() {
        return node;
    }

    /** A container without groups. */
    public SpaprFile open() {
        return new SpaprFile(this);
    }

    /** Processes whose memory somebody asks about. */
    public synchronized int processes() {
        return processes.size();
    }

    /** What a process has registered; until {@link #forget}. */
    synchronized RegisteredMemory memoryOf(ProgramMemory process) {
        RegisteredMemory memory =
                processes.computeIfAbsent(process, p -> new RegisteredMemory(node, p));
        memory.users++;
        return memory;
    }

    /** Who asked {@link #memoryOf} asks no more. */
    synchronized void forget(RegisteredMemory memory) {
        if (--memory.users == 0) {
            processes.remove(memory.process());
            memory.end();
        }
    }
}
