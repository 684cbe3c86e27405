// SPDX-License-Identifier: Apache-2.0
package org.ioasis.kvm;

import org.jspecify.annotations.Nullable;

/**
 * A file of VFIO as KVM sees it: a group's or a device's. Called under the lock of the pseudo
 * device, which is taken before any of VFIO's; does not call KVM back.
 */
public interface VfioFile {
    /** One more holder: it stays when its last descriptor is closed. */
    void hold();

    /** One holder less. */
    void drop();

    /** Whether the DMA of all its devices sees what caches hold, whatever they ask for. */
    boolean enforcesCoherency();

    /**
     * The machine that it belongs to. Its devices' drivers see it when they are opened; so it comes
     * before, and nothing that is opened already hears of it.
     *
     * @param machine null: none any more
     */
    void machine(@Nullable KvmVm machine);
}
