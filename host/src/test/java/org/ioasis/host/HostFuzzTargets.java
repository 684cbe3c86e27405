// SPDX-License-Identifier: Apache-2.0
package org.ioasis.host;

import java.util.Locale;
import org.ioasis.amd.AmdFuzz;
import org.ioasis.iommufd.nesting.VirtioFuzz;
import org.ioasis.smmuv3.Smmuv3Fuzz;
import org.ioasis.vtd.VtdFuzz;

/**
 * What a fuzzer calls: any bytes become what a guest with tables of its own writes. Any thread.
 * Public for Jazzer ({@code tools/fuzz.sh}), of which nothing else is known here.
 */
public final class HostFuzzTargets {
    /** A target. */
    enum Target {
        SMMUV3_COMMANDS,
        SMMUV3_QUEUE,
        SMMUV3_CONTEXTS,
        VTD_ENTRIES,
        VTD_QUEUE,
        VTD_CONTEXTS,
        AMD_COMMANDS,
        AMD_CONTEXTS,
        VIRTIO_INVALIDATIONS;

        /** Its name for people, and that of the list of its inputs. */
        String id() {
            return name().toLowerCase(Locale.ROOT).replace('_', '-');
        }

        void run(byte[] bytes) {
            FuzzInput input = new FuzzInput(bytes);
            switch (this) {
                case SMMUV3_COMMANDS -> Smmuv3Fuzz.commands(input);
                case SMMUV3_QUEUE -> Smmuv3Fuzz.queue(input);
                case SMMUV3_CONTEXTS -> Smmuv3Fuzz.contexts(input);
                case VTD_ENTRIES -> VtdFuzz.entries(input);
                case VTD_QUEUE -> VtdFuzz.queue(input);
                case VTD_CONTEXTS -> VtdFuzz.contexts(input);
                case AMD_COMMANDS -> AmdFuzz.commands(input);
                case AMD_CONTEXTS -> AmdFuzz.contexts(input);
                case VIRTIO_INVALIDATIONS -> VirtioFuzz.run(input);
            }
        }
    }

    private HostFuzzTargets() {}

    /** One run of the target that the system property {@code ioasis.fuzz.target} names. */
    public static void fuzzerTestOneInput(byte[] bytes) {
        String id = System.getProperty("ioasis.fuzz.target", "");
        for (Target target : Target.values()) {
            if (target.id().equals(id)) {
                target.run(bytes);
                return;
            }
        }
        throw new IllegalArgumentException("no fuzz target " + id);
    }
}
