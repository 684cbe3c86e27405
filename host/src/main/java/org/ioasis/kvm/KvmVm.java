// SPDX-License-Identifier: Apache-2.0
package org.ioasis.kvm;

import java.util.ServiceLoader;
import java.util.function.Supplier;
import org.ioasis.iommufd.Errno;
import org.ioasis.iommufd.FailureInjector;
import org.ioasis.iommufd.IommufdException;
import org.jspecify.annotations.Nullable;

/**
 * A virtual machine, as far as assigned devices matter to it: how many there are, and whether their
 * DMA can pass caches by. It stands for a kernel's: nothing here runs a guest. Any thread.
 */
public final class KvmVm {
    /** Hears when memory types begin or cease to matter. Under the pseudo device's lock. */
    @FunctionalInterface
    public interface MemoryTypes {
        /**
         * @param isHonoured true: the guest's memory types take effect, and its WBINVD writes
         *     caches back
         */
        void changed(boolean isHonoured);
    }

    private final Supplier<@Nullable VfioSymbols> vfio;
    private final @Nullable SpaprSymbols spapr;
    private final MemoryTypes memoryTypes;

    private @Nullable KvmVfioDevice device;
    private int assigned;
    private int noncoherent;

    /** With the VFIO that is installed when it is asked for. */
    public KvmVm() {
        this(KvmVm::installed, null, _ -> {});
    }

    /**
     * @param vfio asked at each registration of a file; null: there is no VFIO
     * @param spapr null: not a machine of that kind
     */
    public KvmVm(
            Supplier<@Nullable VfioSymbols> vfio,
            @Nullable SpaprSymbols spapr,
            MemoryTypes memoryTypes) {
        this.vfio = vfio;
        this.spapr = spapr;
        this.memoryTypes = memoryTypes;
    }

    private static @Nullable VfioSymbols installed() {
        return ServiceLoader.load(VfioSymbols.class, KvmVm.class.getClassLoader())
                .findFirst()
                .orElse(null);
    }

    /**
     * Makes the pseudo device.
     *
     * @throws IommufdException EBUSY: there is one; ENOMEM
     */
    public synchronized KvmVfioDevice createVfioDevice(FailureInjector failures)
            throws IommufdException {
        if (device != null) {
            throw new IommufdException(Errno.EBUSY, "the machine has a VFIO device");
        }
        failures.allocate();
        KvmVfioDevice made = new KvmVfioDevice(this);
        device = made;
        return made;
    }

    synchronized void closed() {
        device = null;
    }

    @Nullable VfioSymbols vfio() {
        return vfio.get();
    }

    @Nullable SpaprSymbols spapr() {
        return spapr;
    }

    synchronized void assigned(int change) {
        assigned += change;
    }

    /** Files of assigned devices: with one, interrupts may be posted to the guest. */
    public synchronized int assigned() {
        return assigned;
    }

    /** Some device's DMA may pass caches by, from now on or no longer: one for each source. */
    void noncoherentDma(boolean isThere) {
        boolean isChange;
        synchronized (this) {
            noncoherent += isThere ? 1 : -1;
            isChange = noncoherent == (isThere ? 1 : 0);
        }
        if (isChange) {
            memoryTypes.changed(isThere);
        }
    }

    /**
     * Whether WBINVD of the guest must do what it says, and its memory types take effect: some
     * device's DMA may pass caches by. (The discussion of 2021 says INVLPG, for WBINVD.)
     */
    public synchronized boolean emulatesWbinvd() {
        return noncoherent > 0;
    }
}
