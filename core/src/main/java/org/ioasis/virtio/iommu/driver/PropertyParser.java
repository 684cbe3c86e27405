// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu.driver;

import static java.nio.ByteOrder.LITTLE_ENDIAN;
import static org.ioasis.spec.VirtioIommu.PROBE_T_MASK;
import static org.ioasis.spec.VirtioIommu.PROBE_T_NONE;
import static org.ioasis.spec.VirtioIommu.PROBE_T_RESV_MEM;
import static org.ioasis.spec.VirtioIommu.PROPERTY_HEAD_SIZE;
import static org.ioasis.spec.VirtioIommu.PROPERTY_LENGTH;
import static org.ioasis.spec.VirtioIommu.PROPERTY_TYPE;
import static org.ioasis.spec.VirtioIommu.RESV_MEM_END;
import static org.ioasis.spec.VirtioIommu.RESV_MEM_SIZE;
import static org.ioasis.spec.VirtioIommu.RESV_MEM_START;
import static org.ioasis.spec.VirtioIommu.RESV_MEM_SUBTYPE;
import static org.ioasis.spec.VirtioIommu.RESV_MEM_T_MSI;
import static org.ioasis.spec.VirtioIommuTables.ARM_TABLE_FORMAT_SIZE;
import static org.ioasis.spec.VirtioIommuTables.BITS_BITS;
import static org.ioasis.spec.VirtioIommuTables.BITS_SIZE;
import static org.ioasis.spec.VirtioIommuTables.FORMAT_ARM_LPAE;
import static org.ioasis.spec.VirtioIommuTables.FORMAT_ARM_SMMUV3;
import static org.ioasis.spec.VirtioIommuTables.PASID_BITS;
import static org.ioasis.spec.VirtioIommuTables.PROBE_T_PASID_SIZE;
import static org.ioasis.spec.VirtioIommuTables.PROBE_T_PASID_TABLE_FORMAT;
import static org.ioasis.spec.VirtioIommuTables.PROBE_T_TABLE_FORMAT;
import static org.ioasis.spec.VirtioIommuTables.TABLE_FORMAT_CAP;
import static org.ioasis.spec.VirtioIommuTables.TABLE_FORMAT_ECAP;
import static org.ioasis.spec.VirtioIommuTables.TABLE_FORMAT_FORMAT;
import static org.ioasis.spec.VirtioIommuTables.TABLE_FORMAT_SIZE;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import org.ioasis.virtio.driver.DriverException;
import org.ioasis.virtio.iommu.driver.DriverOptions.Range;
import org.jspecify.annotations.Nullable;

/**
 * Reads the properties that PROBE has brought (5.13.6.7, 5.13.6.8), from a copy of them. What is
 * unknown is skipped; what is known and makes no sense fails, since an address that is not known to
 * be reserved would be handed out. Any thread.
 */
final class PropertyParser {
    private PropertyParser() {}

    static EndpointInfo parse(byte[] properties) throws DriverException {
        return parse(properties, false);
    }

    /**
     * @param hasTables what drafts tell of tables is known
     */
    static EndpointInfo parse(byte[] properties, boolean hasTables) throws DriverException {
        ByteBuffer list = ByteBuffer.wrap(properties).order(LITTLE_ENDIAN);
        List<Range> reserved = new ArrayList<>();
        Range msi = null;
        int ignored = 0;
        int pasidBits = 0;
        int contextFormat = 0;
        EndpointInfo.Tables tables = null;
        int at = 0;
        while (at + PROPERTY_HEAD_SIZE <= properties.length) {
            int field = Short.toUnsignedInt(list.getShort(at + PROPERTY_TYPE));
            int length = Short.toUnsignedInt(list.getShort(at + PROPERTY_LENGTH));
            int next = at + PROPERTY_HEAD_SIZE + length;
            if (field == PROBE_T_NONE) {
                break;
            }
            if (next > properties.length) {
                throw new DriverException(
                        "a property of type 0x%x has %d bytes where %d are left"
                                .formatted(
                                        field,
                                        length,
                                        properties.length - at - PROPERTY_HEAD_SIZE));
            }
            // Bits that are reserved may one day say that the rest is to be read differently.
            if ((field & ~PROBE_T_MASK) == 0 && field == PROBE_T_RESV_MEM) {
                if (length < RESV_MEM_SIZE - PROPERTY_HEAD_SIZE) {
                    throw new DriverException("RESV_MEM of %d bytes".formatted(length));
                }
                Range range = range(list, at);
                reserved.add(range);
                if (list.get(at + RESV_MEM_SUBTYPE) == RESV_MEM_T_MSI) {
                    msi = range;
                }
            } else if (hasTables
                    && field == PROBE_T_PASID_SIZE
                    && length >= BITS_SIZE - PROPERTY_HEAD_SIZE) {
                pasidBits = list.get(at + BITS_BITS);
            } else if (hasTables
                    && field == PROBE_T_TABLE_FORMAT
                    && length >= TABLE_FORMAT_SIZE - PROPERTY_HEAD_SIZE) {
                tables =
                        new EndpointInfo.Tables(
                                Short.toUnsignedInt(list.getShort(at + TABLE_FORMAT_FORMAT)),
                                list.getLong(at + TABLE_FORMAT_CAP),
                                list.getLong(at + TABLE_FORMAT_ECAP),
                                0,
                                0);
            } else if (hasTables
                    && isArm(list, at, length, PROBE_T_TABLE_FORMAT, FORMAT_ARM_LPAE)) {
                tables = new EndpointInfo.Tables(FORMAT_ARM_LPAE, 0, 0, 0, 0);
            } else if (hasTables
                    && isArm(list, at, length, PROBE_T_PASID_TABLE_FORMAT, FORMAT_ARM_SMMUV3)) {
                contextFormat = FORMAT_ARM_SMMUV3;
            } else {
                ignored++;
            }
            at = next;
        }
        return new EndpointInfo(reserved, msi, ignored, with(tables, contextFormat, pasidBits));
    }

    /** Whether a property says, in the short form of the drafts for ARM, that there is a format. */
    private static boolean isArm(ByteBuffer list, int at, int length, int property, int format) {
        return Short.toUnsignedInt(list.getShort(at + PROPERTY_TYPE)) == property
                && length >= ARM_TABLE_FORMAT_SIZE - PROPERTY_HEAD_SIZE
                && Short.toUnsignedInt(list.getShort(at + TABLE_FORMAT_FORMAT)) == format;
    }

    /** A width that no PASID has says nothing. */
    private static EndpointInfo.@Nullable Tables with(
            EndpointInfo.@Nullable Tables tables, int contextFormat, int pasidBits) {
        int bits = pasidBits >= 0 && pasidBits <= PASID_BITS ? pasidBits : 0;
        return tables == null
                ? null
                : new EndpointInfo.Tables(
                        tables.format(), tables.cap(), tables.ecap(), contextFormat, bits);
    }

    private static Range range(ByteBuffer list, int at) throws DriverException {
        long first = list.getLong(at + RESV_MEM_START);
        long last = list.getLong(at + RESV_MEM_END);
        if (Long.compareUnsigned(first, last) > 0) {
            throw new DriverException("RESV_MEM 0x%x..0x%x".formatted(first, last));
        }
        return new Range(first, last);
    }
}
