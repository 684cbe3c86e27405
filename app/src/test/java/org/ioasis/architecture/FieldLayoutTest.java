// SPDX-License-Identifier: Apache-2.0
package org.ioasis.architecture;

import static org.assertj.core.api.Assertions.assertThat;

import java.lang.reflect.Field;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import org.ioasis.iommu.mapping.RadixStore;
import org.ioasis.memory.Guard;
import org.junit.jupiter.api.Test;

/** What one thread writes is not near what others use, whatever the JVM does with fields. */
class FieldLayoutTest {
    /** Processors fetch lines of 64 bytes in pairs. */
    private static final long APART = 120;

    private record Place(String name, long offset, boolean isRoom) {}

    /** By name: nothing else knows where a field lies, and javac refuses to know the class. */
    private static List<Place> places(Class<?> last) throws ReflectiveOperationException {
        Class<?> unsafe = Class.forName("sun.misc.Unsafe");
        Field own = unsafe.getDeclaredField("theUnsafe");
        own.setAccessible(true);
        Method offset = unsafe.getMethod("objectFieldOffset", Field.class);
        List<Place> places = new ArrayList<>();
        for (Class<?> type = last; type != Object.class; type = type.getSuperclass()) {
            for (Field field : type.getDeclaredFields()) {
                if (!Modifier.isStatic(field.getModifiers())) {
                    boolean isRoom = field.getName().matches("[pqr][0-9a-e]");
                    long at = (long) offset.invoke(own.get(null), field);
                    places.add(new Place(field.getName(), at, isRoom));
                }
            }
        }
        return places;
    }

    @Test
    void nothingIsNearTheSectionOfAGuard() throws Exception {
        List<Place> places = places(Guard.class);
        long section =
                places.stream()
                        .filter(place -> place.name().equals("section"))
                        .findFirst()
                        .orElseThrow()
                        .offset();
        List<Place> others =
                places.stream()
                        .filter(place -> !place.isRoom() && !place.name().equals("section"))
                        .toList();

        assertThat(others).hasSize(4);
        assertThat(others)
                .allSatisfy(place ->
                        assertThat(Math.abs(place.offset() - section)).isGreaterThan(APART));
        assertThat(section).as("behind the object before").isGreaterThan(APART);
        long last = places.stream().mapToLong(Place::offset).max().orElseThrow();
        assertThat(others)
                .allSatisfy(place -> assertThat(last - place.offset()).isGreaterThan(APART - 8));
    }

    @Test
    void nothingThatChangesIsNearWhatATranslationLoads() throws Exception {
        Set<String> loaded = Set.of("memory", "granuleLg2", "root");
        List<Place> places = places(RadixStore.class);
        List<Place> read = places.stream().filter(place -> loaded.contains(place.name())).toList();
        List<Place> others =
                places.stream()
                        .filter(place -> !place.isRoom() && !loaded.contains(place.name()))
                        .filter(place -> !place.name().equals("kind"))
                        .toList();

        assertThat(read).hasSize(3);
        assertThat(others).hasSizeGreaterThan(6);
        for (Place place : read) {
            assertThat(others)
                    .allSatisfy(other ->
                            assertThat(other.offset() - place.offset()).isGreaterThan(APART - 8));
            assertThat(place.offset()).as("behind the object before").isGreaterThan(APART);
        }
    }
}
