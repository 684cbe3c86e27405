// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import org.junit.jupiter.api.Test;

/** Ids, and who finds what under them. */
class ObjectTableTest {
    private final IommufdContext context = IommufdNode.builder().build().openContext();
    private final ObjectTable table = new ObjectTable();

    private Ioas reserved() throws IommufdException {
        Ioas object = new Ioas(context);
        table.reserve(object);
        return object;
    }

    @Test
    void anObjectIsFoundFromItsEndOfBuildingToItsRemoval() throws IommufdException {
        Ioas object = reserved();
        assertThat(object.id()).isEqualTo(1);
        assertThat(table.find(1)).isNull();
        context.finish(object);
        assertThat(table.find(1)).isSameAs(object);
        table.remove(object, false);
        assertThat(table.find(1)).isNull();
        assertThat(table.find(0)).isNull();
        assertThat(table.find(-1)).isNull();
        assertThat(table.size()).isZero();
    }

    @Test
    void anIdWithATombstoneIsNeverGivenOutAgain() throws IommufdException {
        Ioas first = reserved();
        Ioas second = reserved();
        table.remove(first, true);
        table.remove(second, false);
        for (int i = 0; i < 40; i++) {
            assertThat(reserved().id()).isGreaterThan(1);
        }
    }

    @Test
    void atTheLimitOfIdsNothingIsMade() throws IommufdException {
        Ioas last = reserved();
        while (last.id() < ObjectTable.LIMIT - 1) {
            table.reserve(last);
        }
        assertThatThrownBy(this::reserved)
                .isInstanceOfSatisfying(
                        IommufdException.class, e -> assertThat(e.errno()).isEqualTo(Errno.ENOMEM));
        assertThat(table.size()).isEqualTo(ObjectTable.LIMIT - 1);
        table.remove(last, false);
        assertThat(reserved().id()).isEqualTo(ObjectTable.LIMIT - 1);
    }
}
