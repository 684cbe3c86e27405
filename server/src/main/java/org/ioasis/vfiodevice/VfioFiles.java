// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiodevice;

import org.ioasis.iommufd.OpenFile;
import org.ioasis.kvm.VfioFile;
import org.ioasis.kvm.VfioSymbols;
import org.jspecify.annotations.Nullable;

/**
 * What KVM finds when it looks for VFIO: groups and devices that programs have opened. A service of
 * {@link java.util.ServiceLoader}, so that neither needs the other. Any thread; the files are their
 * loop's, and so is a KVM that has them.
 */
public final class VfioFiles implements VfioSymbols {
    @Override
    public @Nullable VfioFile find(OpenFile file) {
        return file instanceof VfioFile found ? found : null;
    }
}
