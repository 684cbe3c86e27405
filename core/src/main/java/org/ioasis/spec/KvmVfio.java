// SPDX-License-Identifier: Apache-2.0
package org.ioasis.spec;

/** Attributes of KVM's VFIO device: linux/kvm.h. Offsets and sizes in bytes. */
public final class KvmVfio {
    /** KVM_SET_DEVICE_ATTR. */
    public static final int SET_DEVICE_ATTR = 0x4018_aee1;

    // struct kvm_device_attr
    public static final int ATTR_GROUP = 4;
    public static final int ATTR_ATTR = 8;
    public static final int ATTR_ADDR = 16;
    public static final int ATTR_SIZE = 24;

    public static final int GROUP_FILE = 1;

    public static final int FILE_ADD = 1;
    public static final int FILE_DEL = 2;
    public static final int GROUP_SET_SPAPR_TCE = 3;

    // struct kvm_vfio_spapr_tce
    public static final int SPAPR_TCE_GROUPFD = 0;
    public static final int SPAPR_TCE_TABLEFD = 4;
    public static final int SPAPR_TCE_SIZE = 8;

    private KvmVfio() {}
}
