// SPDX-License-Identifier: Apache-2.0
package org.ioasis.spec;

/**
 * Numbers and layouts of the ioctl by which the kernel's selftests of iommufd look into a mock
 * device: iommufd_test.h of Linux 7.3. Offsets and sizes in bytes.
 */
public final class IommufdTest {
    public static final int OP_ADD_RESERVED = 1;
    public static final int OP_MOCK_DOMAIN = 2;
    public static final int OP_MD_CHECK_MAP = 3;
    public static final int OP_MD_CHECK_REFS = 4;
    public static final int OP_CREATE_ACCESS = 5;
    public static final int OP_DESTROY_ACCESS_PAGES = 6;
    public static final int OP_ACCESS_PAGES = 7;
    public static final int OP_ACCESS_RW = 8;
    public static final int OP_SET_TEMP_MEMORY_LIMIT = 9;
    public static final int OP_MOCK_DOMAIN_REPLACE = 10;
    public static final int OP_ACCESS_REPLACE_IOAS = 11;
    public static final int OP_MOCK_DOMAIN_FLAGS = 12;
    public static final int OP_DIRTY = 13;
    public static final int OP_MD_CHECK_IOTLB = 14;
    public static final int OP_TRIGGER_IOPF = 15;
    public static final int OP_DEV_CHECK_CACHE = 16;
    public static final int OP_TRIGGER_VEVENT = 17;
    public static final int OP_PASID_ATTACH = 18;
    public static final int OP_PASID_REPLACE = 19;
    public static final int OP_PASID_DETACH = 20;
    public static final int OP_PASID_CHECK_HWPT = 21;
    public static final int OP_DMABUF_GET = 22;
    public static final int OP_DMABUF_REVOKE = 23;

    public static final long APERTURE_START = 1L << 24;
    public static final long APERTURE_LAST = (1L << 31) - 1;
    public static final long PAGE_SIZE = 2048;
    public static final long HUGE_PAGE_SIZE = 512 * PAGE_SIZE;

    // struct iommu_test_cmd: what all have
    public static final int OP = 4;
    public static final int ID = 8;
    public static final int SIZE = 72;
    public static final int MIN = 68;

    // add_reserved
    public static final int ADD_RESERVED_START = 16;
    public static final int ADD_RESERVED_LENGTH = 24;

    // mock_domain and mock_domain_flags
    public static final int MOCK_DOMAIN_OUT_STDEV_ID = 16;
    public static final int MOCK_DOMAIN_OUT_HWPT_ID = 20;
    public static final int MOCK_DOMAIN_OUT_IDEV_ID = 24;
    public static final int MOCK_DOMAIN_DEV_FLAGS = 28;
    public static final int DEVICE_NO_DIRTY = 1;
    public static final int DEVICE_PASID = 1 << 2;

    // mock_domain_replace
    public static final int MOCK_DOMAIN_REPLACE_PT_ID = 16;

    // check_map
    public static final int CHECK_MAP_IOVA = 16;
    public static final int CHECK_MAP_LENGTH = 24;
    public static final int CHECK_MAP_UPTR = 32;

    // check_refs
    public static final int CHECK_REFS_LENGTH = 16;
    public static final int CHECK_REFS_UPTR = 24;
    public static final int CHECK_REFS_REFS = 32;

    // create_access
    public static final int CREATE_ACCESS_OUT_FD = 16;
    public static final int CREATE_ACCESS_FLAGS = 20;
    public static final int ACCESS_CREATE_NEEDS_PIN_PAGES = 1;

    // destroy_access_pages
    public static final int DESTROY_ACCESS_PAGES_ID = 16;

    // access_pages
    public static final int ACCESS_PAGES_FLAGS = 16;
    public static final int ACCESS_PAGES_OUT_ID = 20;
    public static final int ACCESS_PAGES_IOVA = 24;
    public static final int ACCESS_PAGES_LENGTH = 32;
    public static final int ACCESS_PAGES_UPTR = 40;
    public static final int ACCESS_WRITE = 1;

    // access_rw
    public static final int ACCESS_RW_IOVA = 16;
    public static final int ACCESS_RW_LENGTH = 24;
    public static final int ACCESS_RW_UPTR = 32;
    public static final int ACCESS_RW_FLAGS = 40;
    public static final int RW_WRITE = 1;
    public static final int RW_SLOW_PATH = 1 << 2;

    // memory_limit
    public static final int MEMORY_LIMIT = 16;

    // access_replace_ioas
    public static final int ACCESS_REPLACE_IOAS_ID = 16;

    // dirty
    public static final int DIRTY_FLAGS = 16;
    public static final int DIRTY_IOVA = 24;
    public static final int DIRTY_LENGTH = 32;
    public static final int DIRTY_PAGE_SIZE = 40;
    public static final int DIRTY_UPTR = 48;
    public static final int DIRTY_OUT_NR_DIRTY = 56;

    // check_iotlb
    public static final int CHECK_IOTLB_ID = 16;
    public static final int CHECK_IOTLB_IOTLB = 20;
    public static final int IOTLB_NUM = 4;

    // trigger_iopf
    public static final int TRIGGER_IOPF_DEV_ID = 16;
    public static final int TRIGGER_IOPF_PASID = 20;
    public static final int TRIGGER_IOPF_GRPID = 24;
    public static final int TRIGGER_IOPF_PERM = 28;
    public static final int TRIGGER_IOPF_ADDR = 32;

    // check_dev_cache
    public static final int CHECK_CACHE_ID = 16;
    public static final int CHECK_CACHE_CACHE = 20;
    public static final int DEV_CACHE_NUM = 4;
    public static final int DEV_CACHE_DEFAULT = 0xbaddad;

    // trigger_vevent
    public static final int TRIGGER_VEVENT_DEV_ID = 16;

    // pasid_attach, pasid_replace, pasid_detach, pasid_check
    public static final int PASID_PASID = 16;
    public static final int PASID_PT_ID = 20;

    /** Attaching this PASID fails every second time. */
    public static final int PASID_RESERVED = 1024;

    public static final int PASID_WIDTH = 20;

    // dmabuf_get
    public static final int DMABUF_GET_LENGTH = 16;

    // dmabuf_revoke
    public static final int DMABUF_REVOKE_FD = 16;
    public static final int DMABUF_REVOKE_REVOKED = 20;

    // struct iommu_test_hw_info
    public static final int HW_INFO_TYPE_SELFTEST = 0xfeedbeef;
    public static final int HW_INFO_SELFTEST_REGVAL = 0xdeadbeef;
    public static final int HW_INFO_TEST_REG = 4;
    public static final int HW_INFO_SIZE = 8;

    // struct iommu_hwpt_selftest
    public static final int HWPT_DATA_SELFTEST = 0xdead;
    public static final int HWPT_SELFTEST_IOTLB = 0;
    public static final int HWPT_SELFTEST_PAGETABLE_TYPE = 4;
    public static final int HWPT_SELFTEST_SIZE = 8;
    public static final int IOMMUPT_DEFAULT = 0;
    public static final int IOMMUPT_HUGE = 1;

    // struct iommu_hwpt_invalidate_selftest
    public static final int INVALIDATE_DATA_SELFTEST = 0xdeadbeef;
    public static final int INVALIDATE_FLAG_ALL = 1;
    public static final int INVALIDATE_FLAGS = 0;
    public static final int INVALIDATE_IOTLB_ID = 4;
    public static final int INVALIDATE_SIZE = 8;

    // struct iommu_viommu_selftest
    public static final int VIOMMU_TYPE_SELFTEST = 0xdeadbeef;
    public static final int VIOMMU_IN_DATA = 0;
    public static final int VIOMMU_OUT_DATA = 4;
    public static final int VIOMMU_OUT_MMAP_OFFSET = 8;
    public static final int VIOMMU_OUT_MMAP_LENGTH = 16;
    public static final int VIOMMU_SIZE = 24;
    public static final int VIOMMU_MIN = 8;

    // struct iommu_viommu_invalidate_selftest
    public static final int VIOMMU_INVALIDATE_DATA_SELFTEST = 0xdeadbeef;
    public static final int VIOMMU_INVALIDATE_FLAGS = 0;
    public static final int VIOMMU_INVALIDATE_VDEV_ID = 4;
    public static final int VIOMMU_INVALIDATE_CACHE_ID = 8;
    public static final int VIOMMU_INVALIDATE_SIZE = 12;

    // struct iommu_viommu_event_selftest
    public static final int VEVENTQ_TYPE_SELFTEST = 0xbeefbeef;

    public static final int HW_QUEUE_TYPE_SELFTEST = 0xdeadbeef;
    public static final int HW_QUEUE_MAX = 2;

    private IommufdTest() {}
}
